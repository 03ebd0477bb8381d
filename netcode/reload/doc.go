// Package reload puts changed scripts in force while a service runs: in all of its instances, or in none.
//
// Contents:
//
//	operator's side, a step function       [Coordinator]: all prepare, then all commit
//	instance's side, a step function       [Follower]: what runs here, and what the store has
//	their shells, for a process            [Run], [Instance]
//	stored data                            [Entry], [Store], and [Memory] for tests
//	bodies of the steps, as JSON           [Step], [Answer]
//	a shard's scripts, as commands         [Shard]
//
// # The protocol
//
// Instances that came with the same scripts share an origin, the hash of those scripts. The store has one [Entry] for
// each origin: the modules in force and their generation. Every reload has a higher generation than all before it.
//
//  1. Prepare. The coordinator asks all instances at the same time. An instance reads its entry and catches up with it,
//     compiles the modules, and tries them without any effect. It answers with the newest generation that it knows and
//     the hash of what it would run. If one instance cannot prepare, or two of one origin would run different scripts,
//     all abort: nothing has changed anywhere.
//  2. Commit, with a generation above all those reported. An instance replaces its entry by compare-and-set, and only
//     then swaps its functions. It refuses if anything else has come into force since it prepared. In each origin the
//     first write decides: the other instances find the reload in the entry and swap as well.
//  3. Follow. Each instance watches its entry, and also reads it periodically. If the entry is newer, it puts that in
//     force; if the entry is older or gone, it writes what it runs. So an instance that a reload did not reach, or that
//     starts later, runs the same scripts as the others.
//
// The simulation in sim_test.go checks these guarantees: only a later reload undoes one that was reported Committed; one
// that was reported Refused never comes into force; generations never decrease; and after any crash or loss, all
// instances of an origin finally run the same scripts. If a coordinator dies, each origin is either unchanged or wholly
// changed. If answers are missing, the result is Mixed, and the operator should reload again. Two coordinators at once
// do no harm; a lock before [Run] spares one of them the refusal.
package reload
