// Package ecstest tests that a game keeps what Wind promises of it. One call is a test of a game:
//
//	func TestGame(t *testing.T) { ecstest.Run(t, mygame.Game) }
//
// It plays the game with random players: sessions join and leave, and each registered command is sent with random
// values that the game's Validate accepts. The parts, each a subtest and each callable alone:
//
//	Setup        registers the same each time
//	Replay       a log replays to the same checksums, beside the live world and after it
//	Restore      a restored world lives the same future as one that never stopped
//	Apply        a world that applies deltas is the one that ran the systems
//	Recompute    change detection sees everything that systems write
//	Fuzz         no command, however malformed, brings down the world or makes a system panic
//	Limits       the game stays below half of every limit, such as that of different sets of components
//	Allocations  a tick of the steady state allocates nothing
//
// What goes wrong is named: the tick, the component, the entity and both values; the system that panicked, with function,
// file and line; the limit and how much of it is used; the function that allocates. A failure prints the seed that makes it again: go test -ecstest.seed=….
//
// windvet finds by reading what these tests find by running; a game wants both. What makes a game fail here is mostly
// a package variable, a variable in a closure of Setup, the order of a map, wall time, a field tagged read that is written,
// and a pointer that is kept beyond its system.
package ecstest
