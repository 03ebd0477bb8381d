// Package reload puts changed scripts in force while they run: in all instances of a service, or in none.
//
// What is where:
//
//	an operator's side, a step function    [Coordinator]: all prepare, then all commit
//	an instance's side, a step function    [Follower]: what runs here, and what the store says
//	their shells, for a process            [Run], [Instance]
//	what the store keeps                   [Entry], [Store], and [Memory] for tests
//	bodies of the steps, as JSON           [Step], [Answer]
//	a shard's scripts, as commands         [Shard]
//
// # The protocol
//
// Instances that came with the same scripts share an origin, the hash of those scripts, and the store keeps one [Entry] for
// each origin: the modules in force and their generation. Every reload has a higher generation than all before it.
//
//  1. Prepare. The coordinator asks every instance at once. An instance reads its entry and catches up with it, compiles
//     the modules, tries them without any effect, and answers with the newest generation that it knows and with the hash of
//     what it would run. If one cannot, or two instances of an origin would run different scripts, all of them abort:
//     nothing has changed anywhere.
//  2. Commit, with a generation above all that were told. An instance replaces its entry by compare-and-set, and only then
//     swaps its functions. It refuses when anything else came into force since it prepared. Of an origin, the first to
//     write decides: the others find the reload in the entry and swap as well.
//  3. Follow. Each instance watches its entry, and reads it now and then. It puts in force what is newer there, and writes
//     what it runs where the entry is older or gone. So an instance that a reload did not reach, and one that starts later,
//     runs what the others run.
//
// What this promises, and the simulation in sim_test.go checks: a reload that is told Committed is never taken back but by a
// later one; one that is told Refused never comes into force; generations never go back; and whatever crashed or was lost,
// all instances of an origin run the same in the end. A coordinator that dies leaves each origin as it was or wholly
// changed. When the answers do not tell, the result is Mixed, and reloading again is the way out. Two coordinators at once do
// no harm; a lock before [Run] spares one of them the refusal.
package reload
