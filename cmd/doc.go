// Package cmd holds Wind's verbs as a library, so that a game's own binary has all of them:
//
//	func main() { cmd.Main(mygame.Game) }
//
// The verbs:
//
//	dev         everything in one process, with bots on request
//	serve       a node: it owns shards or waits to own them
//	infra       embedded NATS and etcd alone, for trying several nodes
//	gateway     where clients of the services log in
//	service     an instance of one of the game's services
//	bots        clients that play against a running node
//	ps          what runs in a cluster
//	call        one message to a service, or one command to a shard
//	reload      put changed scripts in force while they run
//	drain       let an instance have no new players
//	stop        end a node, gateway or service, on any machine
//	gen         handlers and callers for messages, from .proto files
//	replay      rebuild a shard's ticks from its log
//	log         tail, check, stat, export and import a log
//	shard       how shards stand, and letting a halted one go on
//	bench       tick, log and RPC benchmarks
//	doctor      what this machine and this configuration promise
//	init        write a small game that builds and runs
//	version     what this binary is
//	completion  shell completion
//
// Every verb prints its result on stdout (one JSON object with --json) and everything else on stderr, and ends with
// exit code 0 (done), 1 (failed), 2 (wrong usage) or 3 (a check found a divergence or a broken invariant).
package cmd
