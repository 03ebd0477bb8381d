package speak

import (
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/script"
)

// Game is the square where the speakers meet. Fireflies wander in it: how is in scripts/shard, and can be changed while
// it runs; the log holds every change.
var Game = ecs.Game{Name: "speak", TickRate: 10, Options: Options{Fireflies: 50}, Setup: setup}

// Options are what can be chosen when a square is made.
type Options struct {
	Fireflies int32 `usage:"fireflies in the square" min:"0" max:"10000"`
}

// Firefly glows, now more, now less.
type Firefly struct {
	Glow float64 // 0 dark to 1 bright
}

// Wave is the command with which a player scares the fireflies away.
type Wave struct {
	Strength float64 // metres per tick that they gain
}

// firefly is what a square is filled with at its beginning.
type firefly struct {
	Pos  motion.Position
	Vel  motion.Velocity
	Glow Firefly
}

const halfSquare = 25 // metres from the centre to a side

func setup(w *ecs.World) {
	o := ecs.OptionsOf[Options](w)
	motion.Register(w)
	ecs.Component[Firefly](w, "firefly", ecs.Replicated)
	script.Register(w, script.Config{Modules: firstScripts})
	script.Handle[Wave](w, "speak.wave")
	ecs.Init(w, func(t *ecs.Tick, bounds *ecs.Res[motion.Bounds], spawn *ecs.Spawner[firefly]) {
		*bounds.Get() = motion.Bounds{MinX: -halfSquare, MinY: -halfSquare, MaxX: halfSquare, MaxY: halfSquare}
		r := t.Rand(ecs.Entity{})
		for range o.Fireflies {
			spawn.New(firefly{Pos: motion.Position{X: r.Range(-halfSquare, halfSquare), Y: r.Range(-halfSquare, halfSquare)}, Glow: Firefly{Glow: r.Range(0, 1)}})
		}
	})
	script.System(w, "wander")
	ecs.System(w, "move", motion.Move)
	ecs.System(w, "clamp", motion.Clamp)
}

// firstScripts are those that a new square begins with.
var firstScripts = readScripts()

func readScripts() []script.Module {
	modules, err := script.ReadFolder(Scripts(), node.ShardScripts) //windvet:allow what is embedded is part of the binary, and read once, before any world
	if err != nil {
		panic(err) // they are embedded
	}
	return modules
}
