// Package servers tests the stores of persistence/redis and persistence/postgres against real servers. The tests start the
// servers: Debian's redis-server, and initdb and postgres from the PATH or from /usr/lib/postgresql. They are skipped if a
// program is missing, unless WIND_STORES=must is set.
//
// It is a separate module, so that the stores' modules depend neither on Wind nor on test dependencies.
package servers
