package ecs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

func nothing(*ecs.Tick) {}

var empty map[string]int

// refused returns New's error for a Setup.
func refused(setup func(w *ecs.World)) string {
	_, err := ecs.New(ecs.Game{Name: "g", TickRate: 30, Setup: setup}, ecs.Config{})
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRegistrationNamesWhatItRefuses(t *testing.T) {
	type inner struct{ Names []string }
	type withPointer struct{ P *int32 }
	type withInt struct{ Box struct{ N int } }
	type withUint struct{ N uint }
	type withString struct{ Name string }
	type withMap struct{ M map[int32]int32 }
	type withSlice struct{ Inner [2]inner }
	type withEmptyArray struct{ A [0]func() }
	type huge struct{ B [70_000]byte }
	type plain struct{ X, Y float64 }
	type other struct{ N int32 }
	for _, c := range []struct {
		want  string
		setup func(w *ecs.World)
	}{
		{"withPointer.P is a ptr", func(w *ecs.World) { ecs.Component[withPointer](w, "c") }},
		{"withInt.Box.N is int, whose size differs by machine", func(w *ecs.World) { ecs.Component[withInt](w, "c") }},
		{"withUint.N is uint", func(w *ecs.World) { ecs.Resource[withUint](w, "r") }},
		{"withString.Name is a string: use ecs.Text16", func(w *ecs.World) { ecs.Event[withString](w, "e") }},
		{"withMap.M is a map", func(w *ecs.World) { ecs.Handle[withMap](w, "h", nothing) }},
		{"withSlice.Inner[0].Names is a slice", func(w *ecs.World) { ecs.Component[withSlice](w, "c") }},
		{"withEmptyArray.A[] is a func", func(w *ecs.World) { ecs.Component[withEmptyArray](w, "c") }},
		{"70000 bytes", func(w *ecs.World) { ecs.Outgoing[huge](w, "m") }},
		{"is not a struct", func(w *ecs.World) { ecs.Component[float64](w, "c") }},
		{"a name must match [a-z]", func(w *ecs.World) { ecs.Component[plain](w, "Position") }},
		{"is registered twice", func(w *ecs.World) { ecs.Component[plain](w, "c"); ecs.Component[other](w, "c") }},
		{`is already registered as "a"`, func(w *ecs.World) { ecs.Component[plain](w, "a"); ecs.Component[plain](w, "b") }},
		{"is spatial but has no fields X and Y", func(w *ecs.World) { ecs.Component[other](w, "c", ecs.Spatial) }},
		{"want a func(*ecs.Tick, …)", func(w *ecs.World) { ecs.System(w, "s", func() {}) }},
		{"without results", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick) error { return nil }) }},
		{"parameter 2 is a int", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, int) {}) }},
		{"parameter 2 is a *int", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *int) {}) }},
		{`system "s" is registered twice`, func(w *ecs.World) { ecs.System(w, "s", nothing); ecs.System(w, "s", nothing) }},
		{"is not a registered component", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *ecs.Comp[plain]) {}) }},
		{"is not a registered resource", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *ecs.Res[plain]) {}) }},
		{"is not registered", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *ecs.Events[plain]) {}) }},
		{"is not registered with Outgoing", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *ecs.Outbox[plain]) {}) }},
		{"want parameter 2 to be a *ecs.Cmd", func(w *ecs.World) { ecs.Handle[plain](w, "h", nothing) }},
		{`is already registered as "h"`, func(w *ecs.World) {
			ecs.Handle[plain](w, "h", func(*ecs.Tick, *ecs.Cmd[plain]) {})
			ecs.Handle[plain](w, "i", func(*ecs.Tick, *ecs.Cmd[plain]) {})
		}},
		{"field P must be a *T", func(w *ecs.World) { ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[struct{ P float64 }]) {}) }},
		{"mixes slices with single values", func(w *ecs.World) {
			ecs.Component[plain](w, "c")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[struct {
				E ecs.Entity
				P []plain
			}]) {
			})
		}},
		{`has the word "writeonly", want optional or read`, func(w *ecs.World) {
			ecs.Component[plain](w, "c")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[struct {
				P *plain `ecs:"writeonly"`
			}]) {
			})
		}},
		{"options are a <nil>", func(w *ecs.World) { ecs.OptionsOf[plain](w) }},
	} {
		if got := refused(c.setup); !strings.Contains(got, c.want) || !strings.HasPrefix(got, "ecs: ") {
			t.Errorf("refused with %q, want ecs: … %q", got, c.want)
		}
	}
}

func TestRegistrationAfterSetupIsRefused(t *testing.T) {
	var kept *ecs.World
	if got := refused(func(w *ecs.World) { kept = w }); got != "" {
		t.Fatal(got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a system was added to a running world")
		}
	}()
	ecs.System(kept, "late", nothing)
}

func TestNewRefusesAnUnusableGame(t *testing.T) {
	ok := ecs.Game{Name: "g", TickRate: 1, Setup: func(*ecs.World) {}}
	for want, change := range map[string]func(g *ecs.Game){
		"only a-z, 0-9 and - are allowed": func(g *ecs.Game) { g.Name = "My Game" },
		"ticks per second":                func(g *ecs.Game) { g.TickRate = 241 },
		"has no Setup":                    func(g *ecs.Game) { g.Setup = nil },
		"options are a *int32":            func(g *ecs.Game) { g.Options = new(int32) },
		"option name is longer":           func(g *ecs.Game) { g.Options = struct{ Name string }{strings.Repeat("x", 257)} },
		"option Rate is a float32":        func(g *ecs.Game) { g.Options = struct{ Rate float32 }{} },
		"option rate is not exported":     func(g *ecs.Game) { g.Options = struct{ rate float64 }{} },
	} {
		g := ok
		change(&g)
		if _, err := ecs.New(g, ecs.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want %q", err, want)
		}
	}
	if _, err := ecs.New(ok, ecs.Config{}); err != nil {
		t.Error(err)
	}
}

// TestAPanicOfSetupIsAnError: it names the game, the value and the line, and has the stack.
func TestAPanicOfSetupIsAnError(t *testing.T) {
	for want, setup := range map[string]func(*ecs.World){
		"a bug":                          func(*ecs.World) { panic("a bug") },
		"a file is missing":              func(*ecs.World) { panic(errors.New("a file is missing")) },
		"assignment to entry in nil map": func(*ecs.World) { empty["x"] = 1 },
		"negative Repeat count":          func(*ecs.World) { _ = strings.Repeat("x", len("")-1) }, // the standard library panics
	} {
		_, err := ecs.SchemaOf(ecs.Game{Name: "g", TickRate: 30, Setup: setup}, ecs.Config{})
		p, ok := errors.AsType[*ecs.SetupPanic](err)
		if !ok {
			t.Errorf("%s: the error is %v", want, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "ecs: the Setup of game g panics: ") || !strings.Contains(err.Error(), want+", in ecs_test.TestAPanicOfSetupIsAnError.func") || !strings.HasSuffix(err.Error(), ")") {
			t.Errorf("%s: the error is %v", want, err)
		}
		if p.Game != "g" || !strings.Contains(p.Place, "(ecs/register_test.go:") || !strings.Contains(p.Stack, "TestAPanicOfSetupIsAnError") {
			t.Errorf("%s: place %q, stack\n%s", want, p.Place, p.Stack)
		}
	}
}

func TestSchemaDescribesTheTypes(t *testing.T) {
	s, err := ecs.SchemaOf(chaos, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	i, ok := s.Component("label")
	if !ok {
		t.Fatal("no label")
	}
	l := s.Components[i]
	if l.Size != 26 || l.Packed != 25 {
		t.Errorf("a label has %d bytes, %d packed", l.Size, l.Packed)
	}
	want := []ecs.Field{
		{Path: "Name", Kind: ecs.KindText, Count: 1, Width: 17},
		{Path: "Marks[0].From", Kind: ecs.KindI16, Offset: 18, PackedOffset: 17, Count: 1, Width: 2},
		{Path: "Marks[0].To", Kind: ecs.KindI16, Offset: 20, PackedOffset: 19, Count: 1, Width: 2},
		{Path: "Marks[1].From", Kind: ecs.KindI16, Offset: 22, PackedOffset: 21, Count: 1, Width: 2},
		{Path: "Marks[1].To", Kind: ecs.KindI16, Offset: 24, PackedOffset: 23, Count: 1, Width: 2},
	}
	for i, f := range want {
		if l.Fields[i] != f {
			t.Errorf("field %d is %+v, want %+v", i, l.Fields[i], f)
		}
	}
	if s.Commands[0].Name != "wind.join" || s.Commands[1].Name != "wind.leave" || !s.Commands[2].Sampled {
		t.Error("the commands are not in their places")
	}
	back, err := ecs.ParseSchema(s.JSON())
	if err != nil || back.Hash() != s.Hash() {
		t.Errorf("a schema does not survive JSON: %v", err)
	}
}

func TestTagsOfFieldsAreInherited(t *testing.T) {
	type at struct{ X, Y float64 }
	type thing struct {
		At     at `wind:"q=0.01"`
		Secret struct {
			N int32 `wind:"-"`
			M int32
		}
	}
	s, err := ecs.SchemaOf(ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) { ecs.Component[thing](w, "thing") }}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, f := range s.Components[0].Fields {
		tags = append(tags, f.Path+"="+f.Tag)
	}
	if got := strings.Join(tags, " "); got != "At.X=q=0.01 At.Y=q=0.01 Secret.N=- Secret.M=" {
		t.Error(got)
	}
	if !s.Components[0].Replicated {
		t.Error("a tag does not imply Replicated")
	}
}
