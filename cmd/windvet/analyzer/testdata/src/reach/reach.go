package reach

import (
	"helper"
	"time"

	"github.com/ferris1/wind/ecs"
)

var Game = ecs.Game{
	Name: "reach",
	Setup: func(w *ecs.World) {
		for k := range map[int]int{} { // want `ranging over a map`
			helper.Pure(k, 1)
		}
		ecs.System(w, "direct", direct)
		ecs.System(w, "made", make1(3))
		ecs.System(w, "method", mover{}.move)
		ecs.System(w, "foreign", helper.Deep)         // want `helper.Deep is not deterministic \(through middle: through Stamp: time.Now reads or waits for wall time at helper.go:19\)`
		local := func(t *ecs.Tick) { _ = time.Now() } // want `time.Now reads`
		ecs.System(w, "local", local)
		ecs.System(w, "generic", generic[int])
		ecs.Handle[Aim](w, "aim", func(t *ecs.Tick, c *ecs.Cmd[Aim]) { c.Value.apply() })
	},
}

func direct(t *ecs.Tick) {
	helper.Pure(1, 2)
	helper.Stamp()          // want `helper.Stamp is not deterministic`
	helper.ByInterface(nil) // want `helper.ByInterface is not deterministic`
	helper.Excused()
	helper.NewSource().Value()    // want `helper.Source.Value is not deterministic \(through file.Value: os.Getpid`
	var r reader = &helper.File{} // want `helper.File.Read is not deterministic`
	r.Read()                      // want `helper.File.Read is not deterministic \(time.Now`
	helper.Total(square{})
	helper.Total(promoted{})
	deeper()
	passed(callback)
	var s shape = square{}
	s.area()
	_ = seed
}

func deeper() { time.Now() } // want `time.Now reads`

func passed(f func()) { f() }
func callback()       { time.Now() } // want `time.Now reads`

type (
	shape  interface{ area() int64 }
	square struct{}
)

type reader interface{ Read() int64 }

func (square) Area() int64 { return time.Now().Unix() } // want `time.Now reads`

// promoted gets its method from an embedded type.
type promoted struct{ base }

type base struct{}

func (base) Area() int64 { return time.Now().Unix() } // want `time.Now reads`

func (square) area() int64 { return time.Now().Unix() } // want `time.Now reads`

var seed = time.Now().Unix() // want `time.Now reads`

func make1(n int) func(*ecs.Tick) {
	return func(t *ecs.Tick) { time.Now() } // want `time.Now reads`
}

type mover struct{}

func (mover) move(t *ecs.Tick) { time.Now() } // want `time.Now reads`

func generic[T any](t *ecs.Tick) { time.Now() } // want `time.Now reads`

type Aim struct{ X, Y float64 }

func (a Aim) Validate() error { time.Now(); return nil } // want `time.Now reads`
func (a Aim) apply()          { time.Now() }             // want `time.Now reads`

func host() { time.Now() }

//wind:simulation
func marked() { time.Now() } // want `time.Now reads`
