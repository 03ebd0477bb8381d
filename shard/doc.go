// Package shard runs one simulated world on one node at a time.
//
// It is the imperative shell around the deterministic core: it decides who may run a shard,
// rebuilds the world from its log, runs the fixed-tick loop, commits each tick before anyone
// sees it, and hands over. OWNERSHIP.md beside this file describes the protocol, with the reason
// for every step.
//
// Where to find what:
//
//	run a shard on this node             [Host], [HostConfig]
//	what a shard needs from others       [Frontend], [Ownership], [Lease]; log, deltas and snapshots: package persistence
//	where commands enter a tick          Host.latch (loop.go) calls [Frontend].Latch; netcode/intake joins what clients send with
//	                                     what services and operators ask for
//	the protocol as a pure step function [Owner]: events in, actions out, no clock, no goroutine
//	how late ticks are caught up         [Pacer]
//	how a room ends                      [Limits], ErrEnded; the seal (seal.go)
//	work beside the ticks                [Crew]: the hosts of a node share its goroutines
//	rooms, and which node takes one      package shard/room; its keys in etcd: package shard/etcd
//	when an idle room works              doze.go
//	leases in etcd                       package shard/etcd
//	which services run, and selectors    package shard/discovery
//
// The etcd lease gives liveness. Safety rests on the log alone: every record names the sequence
// that it must follow, and at most one record is outstanding.
package shard
