// Package node wires the parts of a node: the log, delta stream and snapshots (persistence/jetstream), leases
// (shard/etcd), the tick loop (shard) and the clients (netcode, netcode/session). They meet only here. Every verb and every benchmark
// that needs a running node starts it through this package.
//
//	n, err := node.Start(ctx, node.Config{Game: game, Data: "./wind-data", UDP: "127.0.0.1:7777"})
//	...
//	err = n.Stop()   // commits the last tick, hands the shard over, closes everything
//
// A node has one lease, one connection to each server and one front door. It runs a standing shard, Config.Shard, and
// hosts rooms, up to Config.Capacity: shard/room decides which, and both take the same way through hosted (hosted.go). The
// commands of clients, services and operators meet in netcode/intake, on their way into a tick.
//
// A Cluster is for those who run no node: it creates, lists, watches and closes rooms, and sends messages.
//
// A node uses the NATS and etcd servers that Config.NATS and Config.Etcd name, or embedded ones in Config.Data.
package node
