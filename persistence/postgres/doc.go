// Package postgres keeps the data of Wind's services in PostgreSQL. Its Store implements Store of package netcode/rpc, for
// sites that run PostgreSQL anyway. It is a separate module, so that nothing else inherits its dependencies, and imports
// nothing of Wind.
//
// All stores share one table, which Open creates if it does not exist:
//
//	wind_store(store text, key bytea, value bytea, revision bigint, primary key (store, key))
//	wind_store_revision    sequence: the last revision of any key
//
// Keys are bytes, since PostgreSQL's text cannot contain a zero byte; convert_from(key, 'UTF8') shows them.
//
// Every operation is one statement. A revision is never reused, even after its key was deleted. After an error from a
// timeout or a lost connection, a write may or may not have happened: call Get to find out. Reads must go to the primary
// server. Acknowledged writes survive a crash unless synchronous_commit or fsync is off.
package postgres
