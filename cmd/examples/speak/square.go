package speak

import (
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/script"
)

// Game is the square where the players meet. The scripts in scripts/shard move fireflies in it. They can
// change while the shard runs; the log records every change.
var Game = ecs.Game{Name: "speak", TickRate: 10, Options: Options{Fireflies: 50}, Setup: setup}

// Options configure a new square.
type Options struct {
	Fireflies int32 `usage:"fireflies in the square" min:"0" max:"10000"`
}

// Firefly glows with a varying brightness.
type Firefly struct {
	Glow float64 // from 0, dark, to 1, bright
}

// Wave is the command with which a player scares the fireflies away.
type Wave struct {
	Strength float64 // speed of the fleeing fireflies, in metres per tick
}

// firefly is the set of components with which Init spawns a firefly.
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

// firstScripts are the scripts of a new square.
var firstScripts = readScripts()

func readScripts() []script.Module {
	modules, err := script.ReadFolder(Scripts(), node.ShardScripts) //windvet:allow embedded files are part of the binary, and read once before any world
	if err != nil {
		panic(err) // they are embedded
	}
	return modules
}
