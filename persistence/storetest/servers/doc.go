// Package servers runs the stores of persistence/redis and persistence/postgres against real servers, which the tests start
// themselves: Debian's redis-server, and initdb and postgres from the PATH or from /usr/lib/postgresql. Where a program is
// missing its tests are skipped, unless WIND_STORES=must is set.
//
// It is a module of its own, so that the stores' modules need neither Wind nor a test's dependencies.
package servers
