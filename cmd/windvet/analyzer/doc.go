// Package analyzer is windvet, the analyzer that holds the law of Wind's simulation code: what runs inside of a tick
// depends on the world and the commands, and on nothing else. A replay and another CPU then live the same game.
//
// # What is checked
//
// Code that a tick may run:
//
//   - the functions given to ecs.System, ecs.Handle and ecs.Init, a Game's Setup, and the Validate method of a command,
//     with everything that they call or name, and the methods that an interface call can reach: in their package by its
//     source, in other packages by facts;
//   - all functions of a package whose import path ends in ecs or ecs/detmath or has an element systems;
//   - all functions of a package, or the one function, with the comment //wind:simulation.
//
// Test files are left alone. The standard library is judged by name. github.com/mlange-42/arche, whose order ecs does not
// rely on, is trusted, and so is the Starlark interpreter, whose maps keep the order of insertion, as is whatever -trust adds.
//
// # The rules
//
//	rule         what it finds                                          what to do instead
//	walltime     time.Now, Sleep, timers; importing time at all         Tick.Now and Tick.Rate count ticks
//	random       math/rand's own generator, crypto/rand, hash/maphash   Tick.Rand(entity), or a generator made from a seed
//	maprange     range over a map, maps.Keys, reflect's MapRange        slices.Sorted(maps.Keys(m)), or a slice
//	concurrency  go, select, channels, sync, context                    one tick, one goroutine
//	io           os, net, syscall, io/fs, fmt.Println                   the host does it and sends a command
//	shell        log, flag, testing, expvar                             an event, or the outbox
//	runtime      runtime, unique, weak                                  nothing of the process
//	state        what changes and outlives the tick: package variables, a resource or a component
//	             variables that a system has captured, its receiver
//	read         a write through a view's field tagged ecs:"read"       take the tag away
//	tag          wind and ecs tags that Setup refuses                   what the message says
//	fma          products that a compiler may fuse with an addition     float64(x*y) + z
//	math         math.Sin and all that is not exact                     ecs/detmath
//	floatint     conversions of floats to integers                      detmath.ToInt32 and kin
//	sort         sort.Slice, slices.SortFunc: equal elements            slices.SortStableFunc
//	address      pointers made to numbers, %p, pointers printed         entities, indices
//	call         calls of functions elsewhere that break a rule         bring the result in as a command
//
// # Loops over maps, and scratch memory
//
// A loop over a map is let through when its order cannot show: it adds to integers, deletes the keys that it is at, looks
// at neither key nor value, or collects into a slice that the next statement sorts.
//
// A system may keep memory from tick to tick if it empties it before it uses it, in a statement of its own:
//
//	near := grid.New[ecs.Entity](area, 10)
//	return func(t *ecs.Tick, q *ecs.Query[row]) {
//		near.Reset() // or list = list[:0], or clear(seen)
//
// # Fused products
//
// The specification of Go lets a compiler compute x*y + z with one rounding instead of two, "possibly across
// statements", and the compiler does so on arm64 and with GOAMD64=v3: through local variables, through a field that is stored and
// loaded again, through calls that it inlines, and for divisions by a constant power of two, which it turns into
// multiplications. Only an explicit conversion rounds; an assignment does not. So a product must be converted unless all that
// it meets is a conversion, another multiplication or division, a comparison, an argument of the standard library or of
// detmath, or a local variable that meets only these:
//
//	v.X += float64(v.Y * dt)             // not v.X += v.Y * dt
//	p := float64(a * b); q := p + c      // not p := a * b
//	return Vec{float64(v.X * k), …}      // not Vec{v.X * k, …}: Scale and Add are inlined
//	if x*x > limit { … }                 // fine
//
// The diagnostics carry fixes: go vet -vettool=$(which windvet) -fix ./systems/...
//
// # Excuses
//
// A comment //windvet:allow with a reason excuses the line that it ends; on a line of its own, the next one; in a function's
// doc comment, that function. Without a reason it excuses nothing, and in simulation packages one that excuses nothing is reported.
//
// # What it cannot see
//
// Function values that travel through fields or maps, interface calls to types that neither the caller's package nor the
// interface's names, and changes through a pointer that a call has returned or a field has kept. The test kit ecs/ecstest
// runs the game for those.
package analyzer
