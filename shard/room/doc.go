// Package room is the life of rooms: shards that are asked for, are placed on a node, end and are kept.
//
// A Spec says what was asked for. It stands in the coordination service (/wind/<cluster>/shards/<id>/spec) until the room
// is gone. Who owns the room, and what has become of it, stands beside it: View joins these entries. Nobody schedules:
// each node decides from its view which unowned rooms it bids for, and when (Bidder.Bid); the claim's transaction
// decides who gets one. A room's end is in its log (package shard); the entry "state" repeats it, so that a list of
// rooms need not read logs.
//
// Everything here is pure but Registry, which follows the coordination service.
package room
