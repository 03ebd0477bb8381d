// Package intake is where commands enter a tick. Sources joins everything that sends
// a shard commands, in this order: a new world's first scripts, services and
// operators (Port), clients (netcode/session). All of them fill the same Batch, whose
// room is the tick's.
package intake
