// Package redis keeps the data of Wind's services in Redis. Its Store implements Store of package netcode/rpc, for sites
// that run Redis anyway. It is a separate module, so that nothing else inherits its dependencies, and imports nothing of
// Wind.
//
// A store named accounts has these keys. Their common {accounts} keeps them on one node of a Redis Cluster:
//
//	wind:{accounts}:k:<key>     hash: v the value, r its revision
//	wind:{accounts}:revision    the last revision of any key
//	wind:{accounts}:keys        sorted set of all keys, for Keys
//
// Every operation is one command or one script and therefore atomic. A revision is never reused, even after its key was
// deleted. After an error from a timeout or a lost connection, a write may or may not have happened: call Get to find out.
// This requires that a client sends each write only once, so New refuses a client that retries on its own.
//
// The store cannot recover what Redis loses. With Redis's defaults a crash loses the last second's writes (use appendfsync
// always), a failover those that had not reached the replica, and an eviction any (use maxmemory-policy noeviction). Lost
// revisions are assigned again. JetStream's KV on three replicas loses nothing that it acknowledged.
package redis
