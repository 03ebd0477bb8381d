// Package discovery knows which instances of a service run, and chooses the one that gets the next player.
//
// The selectors are in selector.go: [Random], [Least], [MaxThreshold], [BinPack], [MinThreshold] and [ConsistentHash]
// implement [Selector], which is a pure function: candidates, key and randomness in, choice out. [ParseSelector] reads
// their names, as operators write them.
//
// An [Instance] is what a process tells of itself. A [Directory] follows a [Source] of instances, answers who is there from
// memory, and places players ([Directory.Pick]): it counts those that an instance has not reported yet, so that a burst of
// logins spreads. It imports no etcd: shard/etcd implements Source (etcd.Services) and registers instances (etcd.Node.Register),
// and cmd/node wires the two.
package discovery
