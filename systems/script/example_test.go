package script_test

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

type (
	fuel struct{ Litres float64 }
	car  struct{ fuel }
)

// garage is a game with one rule, which is a script.
var garage = ecs.Game{Name: "garage", TickRate: 30, Setup: func(w *ecs.World) {
	script.Register(w, script.Config{Modules: []script.Module{{Name: "rules.star", Source: []byte(`
def system_drive(tick):
    query("fuel").add("fuel.Litres", -1, min=0)
`)}}})
	ecs.Component[fuel](w, "fuel")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[car]) { s.New(car{fuel{Litres: 10}}) })
	script.System(w, "drive")
}}

// A shard sends the commands of Genesis in the first tick, and those of a reload when an operator requests one, so the
// log records what ran.
func Example() {
	w, err := ecs.New(garage, ecs.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	drive := func(commands []ecs.Command) {
		w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: commands})
		f, _ := ecs.Get[fuel](w, ecs.EntityFrom(1, 0))
		fmt.Println("tick", w.Tick(), "litres", f.Litres)
	}
	commands, err := script.Genesis(w)
	if err != nil {
		fmt.Println(err)
		return
	}
	drive(commands)
	drive(nil)

	operator := ecs.Source{Kind: ecs.SourceOperator, ID: 1}
	thirsty := []script.Module{{Name: "rules.star", Source: []byte(`
def system_drive(tick):
    query("fuel").add("fuel.Litres", -3, min=0)
`)}}
	report, err := script.DryRun(w, thirsty)
	fmt.Println(report, err)
	if commands, err = script.Commands(w, operator, 1, thirsty, script.DefaultBudget); err != nil {
		fmt.Println(err)
		return
	}
	drive(commands)

	_, err = script.DryRun(w, []script.Module{{Name: "rules.star", Source: []byte(`
def system_drive(tick):
    query("fule").add("fuel.Litres", -3)
`)}})
	fmt.Println(err)
	drive(nil)
	// Output:
	// tick 1 litres 9
	// tick 2 litres 8
	// changed rules.star:system_drive <nil>
	// tick 3 litres 5
	// rules.star:3:11: no component "fule" (did you mean fuel?)
	// tick 4 litres 2
}
