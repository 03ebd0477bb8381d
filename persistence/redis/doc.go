// Package redis keeps what services of Wind store in Redis: it is the Store of package netcode/rpc, for those who run Redis
// anyway. It is a module of its own, so that nobody else inherits its dependencies, and imports nothing of Wind.
//
// A store named accounts has these keys; their common {accounts} keeps them on one node of a Redis Cluster:
//
//	wind:{accounts}:k:<key>     hash: v the value, r its revision
//	wind:{accounts}:revision    the last revision of any key
//	wind:{accounts}:keys        sorted set of all keys, for Keys
//
// Every operation is one command or one script, so it is atomic. A revision is never used twice, also not after its key was
// deleted. A time-out or a lost connection is an error, and what was written with it may be there or not: Get tells. For
// that, nothing may be sent twice behind the store's back: New refuses a client that tries again by itself.
//
// What Redis loses is lost: with its defaults a crash takes the last second's writes (use appendfsync always), a failover
// those that the replica had not heard of, and an eviction any (use maxmemory-policy noeviction). Revisions that were lost
// are given out again. JetStream's KV on three replicas loses nothing that it acknowledged.
package redis
