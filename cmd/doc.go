// Package cmd holds Wind's verbs as a library, so that a game's own binary has all of them:
//
//	func main() { cmd.Main(mygame.Game) }
//
// The verbs:
//
//	dev         everything in one process, with bots on request
//	serve       a node that owns its shard, or waits to own it, and hosts rooms
//	infra       embedded NATS and etcd alone, to try several nodes
//	gateway     where clients of the services log in
//	service     an instance of one of the game's services
//	bots        clients that play on a running node
//	ps          list what runs in a cluster
//	call        send one message to a service, or one command to a shard
//	reload      reload changed scripts in running services and shards
//	drain       stop assigning new players to an instance
//	stop        stop a node, gateway or service, on any machine
//	gen         write handlers and callers for messages, from .proto files
//	replay      rebuild a shard's ticks from its log
//	log         tail, check, stat, purge, export and import a log
//	shard       show the state of shards, and resume a halted one
//	room        create, list, show, watch and close rooms: shards that end
//	bench       tick, log, delta, RPC and room benchmarks
//	doctor      say what this machine and configuration guarantee
//	init        write a small game that builds and runs
//	version     print the build
//	completion  shell completion
//
// Every verb prints its result to stdout (one JSON object with --json) and everything else to stderr. Exit codes: 0 (done),
// 1 (failed), 2 (wrong usage), 3 (a check found a divergence or a broken invariant).
package cmd
