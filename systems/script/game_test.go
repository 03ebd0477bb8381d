package script_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

type (
	health   struct{ HP int32 }
	position struct{ X, Y float64 }
	velocity struct{ X, Y float64 }
	dead     struct{}
	mixed    struct {
		I8    int8
		U8    uint8
		I64   int64
		U64   uint64
		F32   float32
		On    bool
		Name  ecs.Text16
		Who   ecs.Entity
		List  [3]uint16
		Inner struct{ A, B int16 }
		Slots [2]struct{ Item uint8 }
	}
	score struct {
		Red, Blue int32
		Best      struct{ HP int64 }
	}
	hit    struct{ Who ecs.Entity }
	choose struct {
		Hero uint8
		At   struct{ X, Y float64 }
	}
)

// arena is a game with all its rules in scripts.
func arena(modules ...script.Module) ecs.Game {
	return ecs.Game{Name: "script-arena", TickRate: 30, Setup: func(w *ecs.World) {
		script.Register(w, script.Config{Modules: modules})
		ecs.Component[health](w, "health")
		ecs.Component[position](w, "position")
		ecs.Component[velocity](w, "velocity")
		ecs.Component[dead](w, "dead")
		ecs.Component[mixed](w, "arena.mixed")
		ecs.Resource[score](w, "score")
		ecs.Event[hit](w, "hit")
		script.Handle[choose](w, "arena.choose")
		script.Handle[ecs.Join](w, "wind.join")
		script.System(w, "waves")
		script.System(w, "move")
		script.System(w, "rules-of-death")
	}}
}

func newWorld(t testing.TB, modules ...script.Module) *ecs.World {
	t.Helper()
	w, err := ecs.New(arena(modules...), ecs.Config{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var operator = ecs.Source{Kind: ecs.SourceOperator, ID: 1}

// step runs a tick with these commands in their order.
func step(w *ecs.World, commands ...ecs.Command) ecs.Output {
	f := ecs.Frame{Tick: w.Tick() + 1, Commands: commands}
	w.Order(f.Tick, f.Commands)
	return w.Step(f)
}

// reload runs a tick that puts the modules in force.
func reload(t testing.TB, w *ecs.World, modules ...script.Module) ecs.Output {
	t.Helper()
	commands, err := script.Commands(w, operator, 1+1000*w.Tick(), modules, script.DefaultBudget)
	if err != nil {
		t.Fatal(err)
	}
	return step(w, commands...)
}

// play makes a world that runs one system, "move", with this body, and runs a tick.
func play(t testing.TB, body string) (*ecs.World, ecs.Output) {
	t.Helper()
	w := newWorld(t)
	o := reload(t, w, mod("systems/a.star", "def system_move(tick):\n\t"+strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n\t")+"\n"))
	return w, o
}

// failure returns what went wrong according to o, or "" if nothing did.
func failure(o ecs.Output) string {
	var all []string
	for _, f := range o.Failures {
		all = append(all, f.System+": "+f.Reason)
	}
	return strings.Join(all, "; ")
}
