// Package ecstest tests whether a game keeps Wind's promises. One call tests a game:
//
//	func TestGame(t *testing.T) { ecstest.Run(t, mygame.Game) }
//
// It plays the game with random players: sessions join and leave, and send each registered command with random values
// that the game's Validate accepts. Each part is a subtest and can be called alone:
//
//	Setup        registers the same types and functions every time
//	Replay       a log replays to the same checksums, beside the live world and after it
//	Restore      a restored world lives the same future as one that never stopped
//	Apply        a world that applies deltas equals the one that ran the systems
//	Recompute    change detection sees every write by systems
//	Fuzz         no command, however malformed, brings down the world or makes a system panic
//	Limits       the game stays below half of every limit, such as that on different sets of components
//	Allocations  a tick in the steady state allocates nothing
//
// A failure names its cause: the tick, the component, the entity and both values; the system that panicked, with
// function, file and line; the limit and how much of it is used; the function that allocates. It also prints the seed
// that reproduces it: go test -ecstest.seed=….
//
// windvet finds by reading code what these tests find by running it; use both for a game. Typical causes of failure are
// a package variable, a variable in a closure of Setup, map order, wall time, a write through a field tagged read, and
// a pointer kept beyond its system.
package ecstest
