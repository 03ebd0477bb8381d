// Package systems collects game-neutral systems. Each folder covers one noun of a game: its components, with units in
// their comments, and the systems that work on them. A folder depends on ecs, and on another folder only where its noun
// builds on that one.
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
// A game registers the systems it needs in its Setup, in the order they should run:
//
//	motion.Register(w)
//	ecs.System(w, "move", motion.Move)
//	ecs.System(w, "fly", projectile.Fly(projectile.Options{}))
//
// Functions like projectile.Fly(Options) return a system with memory of its own (a grid, scratch arrays). Call them
// inside Setup, so that each world gets its own copy. A system rebuilds that memory from the world every tick, so the
// memory never affects the result.
package systems
