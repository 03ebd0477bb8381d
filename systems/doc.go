// Package systems is the home of game-neutral systems: each folder below it is one noun of a game, with its own
// components, units in their comments, and systems to register. They depend on ecs and on each other only where a
// noun is made of another one.
//
//	systems/motion      Position, Velocity, Bounds: move, clamp, bounce, wrap, cull
//	systems/grid        a uniform spatial grid for neighbour work (no systems, no ecs)
//	systems/projectile  Shot and Body: swept hits, so that nothing fast flies through anything thin
//	systems/damage      Health, Damage, Death: wounds add up, a death happens once
//	systems/lifetime    Lifetime: an entity that ends at a known tick
//	systems/respawn     Respawn and Down: back after a delay, at a place that the game chooses
//	systems/interest    Watcher and Seen: who is near whom, with enter and leave
//	systems/script      systems and command handlers in Starlark, reloaded by commands in the log
//
// A game registers what it needs in its Setup, in the order in which it wants them to run:
//
//	motion.Register(w)
//	ecs.System(w, "move", motion.Move)
//	ecs.System(w, "fly", projectile.Fly(projectile.Options{}))
//
// Functions like projectile.Fly(Options) make a system with memory of its own (a grid, scratch arrays). Call them
// inside Setup, so that each world has its own; what they keep between ticks is rebuilt from the world every time, so
// it never decides anything.
package systems
