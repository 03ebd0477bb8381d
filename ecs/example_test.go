package ecs_test

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

type (
	// Place is where a ship is, in metres.
	Place struct{ X, Y float64 }
	// Course is a ship's movement, in metres per tick.
	Course struct{ X, Y float64 }
	// Captain identifies the ship's owner.
	Captain struct{ Session uint64 }
	// Anchored ships do not move.
	Anchored struct{}

	// Ship is the bundle of a new ship.
	Ship struct {
		Place
		Course
		Captain
	}

	// Steer is a captain's command: metres per tick.
	Steer struct{ X, Y float64 }
	// Sunk is an event for everyone.
	Sunk struct{ Ship ecs.Entity }
)

// Validate runs before a Steer is logged.
func (s Steer) Validate() error {
	if s.X < -1 || s.X > 1 || s.Y < -1 || s.Y > 1 {
		return errors.New("no ship is that fast")
	}
	return nil
}

// Sailing is the view of sail: every ship that is not anchored.
type Sailing struct {
	Place  *Place
	Course *Course
	_      ecs.Without[Anchored]
}

func sail(_ *ecs.Tick, ships *ecs.Query[Sailing]) {
	for s := range ships.Each {
		s.Place.X += s.Course.X
		s.Place.Y += s.Course.Y
	}
}

// sink removes ships that have sailed over the edge of the world.
func sink(t *ecs.Tick, ships *ecs.Query[struct {
	Self  ecs.Entity
	Place *Place `ecs:"read"`
}], sunk *ecs.Events[Sunk],
) {
	for s := range ships.Each {
		if s.Place.X > 2 {
			sunk.Emit(Sunk{s.Self})
			t.Despawn(s.Self)
		}
	}
}

// steer handles a captain's command.
func steer(_ *ecs.Tick, c *ecs.Cmd[Steer], ships *ecs.Query[struct {
	Captain *Captain `ecs:"read"`
	Course  *Course
}],
) {
	for s := range ships.Each {
		if s.Captain.Session == c.From() {
			*s.Course = Course(c.Value)
			return
		}
	}
	c.Reject("you have no ship")
}

// launch gives a ship to everyone who joins.
func launch(t *ecs.Tick, c *ecs.Cmd[ecs.Join], ships *ecs.Spawner[Ship]) {
	t.Control(c.From(), ships.New(Ship{Captain: Captain{c.From()}}))
}

var sea = ecs.Game{Name: "sea", TickRate: 10, Setup: func(w *ecs.World) {
	ecs.Component[Place](w, "place", ecs.Replicated, ecs.Spatial)
	ecs.Component[Course](w, "course")
	ecs.Component[Captain](w, "captain")
	ecs.Component[Anchored](w, "anchored")
	ecs.Event[Sunk](w, "sunk")
	ecs.Handle[ecs.Join](w, "wind.join", launch)
	ecs.Handle[Steer](w, "steer", steer)
	ecs.System(w, "sail", sail)
	ecs.System(w, "sink", sink)
}}

// A whole game, run by hand. A host does this with its clients' input.
func Example() {
	w, err := ecs.New(sea, ecs.Config{Seed: 1})
	if err != nil {
		panic(err)
	}
	ada := ecs.Source{Kind: ecs.SourceClient, ID: 7}
	inputs := [][]ecs.Command{
		{ecs.NewCommand(w, ada, 1, ecs.Join{Identity: ecs.NewText64("ada")})},
		{ecs.NewCommand(w, ada, 2, Steer{X: 1})},
		nil,
		nil,
		{ecs.NewCommand(w, ada, 3, Steer{Y: 1})},
	}
	for _, commands := range inputs {
		w.Order(w.Tick()+1, commands)
		o := w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: commands})
		fmt.Printf("tick %d: %d ships", o.Tick, w.Len())
		for _, e := range o.Events {
			fmt.Printf(", %d %s", e.Count, e.Name)
		}
		for _, r := range o.Replies {
			fmt.Printf(", command %d: %q", r.Seq, r.Reason)
		}
		fmt.Println()
	}
	// Output:
	// tick 1: 1 ships, command 1: ""
	// tick 2: 1 ships, command 2: ""
	// tick 3: 1 ships
	// tick 4: 0 ships, 1 sunk
	// tick 5: 0 ships, command 3: "you have no ship"
}

// A command that violates its own bounds does not enter a frame.
func ExampleWorld_Validate() {
	w, err := ecs.New(sea, ecs.Config{})
	if err != nil {
		panic(err)
	}
	c := ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator}, 1, Steer{X: 99})
	fmt.Println(w.Validate(&c))
	// Output: ecs: command "steer": no ship is that fast
}

// A follower applies deltas and runs no system.
func ExampleWorld_Apply() {
	leader, _ := ecs.New(sea, ecs.Config{})
	follower, _ := ecs.New(sea, ecs.Config{})
	join := ecs.NewCommand(leader, ecs.Source{Kind: ecs.SourceClient, ID: 7}, 1, ecs.Join{})
	delta := leader.Step(ecs.Frame{Tick: 1, Commands: []ecs.Command{join}}).Delta.AppendTo(nil)
	if err := follower.Apply(delta); err != nil {
		panic(err)
	}
	fmt.Println(follower.Len(), follower.Checksum() == leader.Checksum())
	// Output: 1 true
}

// A restored world continues like the one that was saved.
func ExampleRestore() {
	w, _ := ecs.New(sea, ecs.Config{})
	w.Step(ecs.Frame{Tick: 1})
	restored, err := ecs.Restore(sea, w.AppendSnapshot(nil))
	if err != nil {
		panic(err)
	}
	a, b := w.Step(ecs.Frame{Tick: 2}), restored.Step(ecs.Frame{Tick: 2})
	fmt.Println(restored.Tick(), a.Checksum == b.Checksum)
	// Output: 2 true
}

// Replication and tools read a world through its tables and columns, without copying it.
func ExampleWorld_Tables() {
	w, _ := ecs.New(sea, ecs.Config{})
	join := ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: 7}, 1, ecs.Join{})
	w.Step(ecs.Frame{Tick: 1, Commands: []ecs.Command{join}})
	captain, _ := w.Schema().Component("captain")
	for _, t := range w.Tables() {
		if c, ok := t.Column(captain); ok {
			fmt.Printf("%v %d %x\n", t.Entities(), c.Stride, c.Data)
		}
	}
	// Output: [1] 8 0700000000000000
}

// A value's type describes it without the game's code.
func ExampleType_Format() {
	s, _ := ecs.SchemaOf(sea, ecs.Config{})
	i, _ := s.Component("place")
	fmt.Println(s.Components[i].Format(ecs.PackValue(nil, Place{X: 1.5})))
	// Output: {x:1.5 y:0}
}
