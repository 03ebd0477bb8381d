// Package analyzer is windvet, the analyzer that enforces the law of Wind's simulation code: code that runs inside a tick
// depends on the world and the commands, and on nothing else. So a replay, or another CPU, computes the same game.
//
// # What is checked
//
// Code that a tick may run:
//
//   - the functions given to ecs.System, ecs.Handle and ecs.Init, a Game's Setup, and the Validate method of a command,
//     with everything that they call or name, and the methods that an interface call can reach (within their package from
//     its source, in other packages from facts);
//   - all functions of a package whose import path ends in ecs or ecs/detmath, or contains the element systems;
//   - all functions of a package, or a single function, marked with the comment //wind:simulation.
//
// windvet skips test files. It judges the standard library by name. It trusts github.com/mlange-42/arche, whose order ecs
// does not rely on, the Starlark interpreter, whose maps keep the order of insertion, and the packages that -trust adds.
//
// # The rules
//
//	rule         finds                                                  use instead
//	walltime     time.Now, Sleep, timers; importing time at all         Tick.Now and Tick.Rate count ticks
//	random       math/rand's own generator, crypto/rand, hash/maphash   Tick.Rand(entity), or a generator made from a seed
//	maprange     range over a map, maps.Keys, reflect's MapRange        slices.Sorted(maps.Keys(m)), or a slice
//	concurrency  go, select, channels, sync, context                    one tick, one goroutine
//	io           os, net, syscall, io/fs, fmt.Println                   do it in the host and send a command
//	shell        log, flag, testing, expvar                             an event, or the outbox
//	runtime      runtime, unique, weak                                  nothing from the process
//	state        changes that outlive the tick: to package variables,   a resource or a component
//	             captured variables, a system's receiver
//	read         a write through a view's field tagged ecs:"read"       remove the tag
//	tag          wind and ecs tags that Setup refuses                   what the message says
//	fma          products that a compiler may fuse with an addition     float64(x*y) + z
//	math         math.Sin and other inexact functions                   ecs/detmath
//	floatint     conversions of floats to integers                      detmath.ToInt32, ToInt64, …
//	sort         sort.Slice, slices.SortFunc: equal elements            slices.SortStableFunc
//	address      pointers as numbers, %p, printed pointers              entities, indices
//	call         calls to other packages' rule-breaking functions       bring the result in as a command
//
// # Loops over maps, and scratch memory
//
// A loop over a map is fine if its order cannot show: it adds to integers, deletes the current key, uses neither key
// nor value, or collects into a slice that the next statement sorts.
//
// A system may keep memory from tick to tick if it first empties it in a statement of its own:
//
//	near := grid.New[ecs.Entity](area, 10)
//	return func(t *ecs.Tick, q *ecs.Query[row]) {
//		near.Reset() // or list = list[:0], or clear(seen)
//
// # Fused products
//
// The Go specification lets a compiler compute x*y + z with one rounding instead of two, "possibly across statements".
// The compiler does so on arm64 and with GOAMD64=v3: through local variables, through a field that is stored and loaded
// again, through calls that it inlines, and for divisions by a constant power of two, which it turns into
// multiplications. Only an explicit conversion rounds; an assignment does not. So convert a product unless its value
// goes only into a conversion, another multiplication or division, a comparison, an argument of the standard library or
// of detmath, or a local variable that goes only into these:
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
// A comment //windvet:allow with a reason excuses the line that it ends; on a line of its own, the next line; in a
// function's doc comment, the whole function. Without a reason it excuses nothing. In simulation packages, windvet
// reports one that excuses nothing.
//
// # What it cannot see
//
// Function values that travel through fields or maps, interface calls to types that neither the caller's package nor
// the interface's package names, and changes through a pointer that a call returned or a field kept. The test kit
// ecs/ecstest runs the game to find those.
package analyzer
