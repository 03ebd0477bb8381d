// Package postgres keeps what services of Wind store in PostgreSQL: it is the Store of package netcode/rpc, for those who
// run PostgreSQL anyway. It is a module of its own, so that nobody else inherits its dependencies, and imports nothing of
// Wind.
//
// All stores are in one table, which Open makes where it is missing:
//
//	wind_store(store text, key bytea, value bytea, revision bigint, primary key (store, key))
//	wind_store_revision    sequence: the last revision of any key
//
// Keys are bytes, since a text of PostgreSQL holds no zero byte: convert_from(key, 'UTF8') shows them.
//
// Every operation is one statement. A revision is never used twice, also not after its key was deleted. A time-out or a lost
// connection is an error, and what was written with it may be there or not: Get tells. Reads must go to the primary server.
// What was acknowledged survives a crash, unless synchronous_commit or fsync are off.
package postgres
