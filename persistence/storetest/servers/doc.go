// Package servers tests persistence/redis, persistence/postgres and persistence/objects against real servers. The tests start
// the servers: Debian's redis-server, initdb and postgres from the PATH or from /usr/lib/postgresql, and s3rver of npm's. They
// are skipped if a program is missing, unless WIND_STORES=must is set.
//
// It is a separate module, so that the stores' modules depend neither on Wind nor on test dependencies.
package servers
