// Package discovery tracks which instances of a service run, and chooses the one that gets the next player.
//
// The selectors are in selector.go: [Random], [Least], [MaxThreshold], [BinPack], [MinThreshold] and [ConsistentHash]
// implement [Selector], a pure function from candidates, key and randomness to a choice. [ParseSelector] parses their
// names as operators write them.
//
// An [Instance] is a process's description of itself. [List] reads all of them once. A [Directory] follows a [Source] of instances, answers lookups
// from memory, and places players ([Directory.Pick], [Directory.Place]). It counts players who came or left and whom an
// instance has not reported yet, so that a burst of logins spreads. The package does not import etcd: shard/etcd
// implements Source (etcd.Services) and registers instances (etcd.Node.Register), and cmd/node connects the two.
package discovery
