package ecs_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestABadTagIsAnErrorOfSetup: the error names the component, the field and the tag, and suggests what was meant.
func TestABadTagIsAnErrorOfSetup(t *testing.T) {
	type quant struct {
		X float64 `wind:"quant=1"`
	}
	type inner struct{ Box quant }
	type text struct {
		Name ecs.Text16 `wind:"q=1"`
	}
	type flag struct {
		On bool `wind:"range=0..1"`
	}
	type target struct {
		Of ecs.Entity `wind:"q=1"`
	}
	type mixed struct {
		Both struct {
			N  int32
			On bool
		} `wind:"q=2"`
	}
	type overridden struct {
		Both struct {
			N int32 `wind:"-"`
		} `wind:"quant=2"`
	}
	type array struct {
		Slots [2]struct {
			X float32 `wind:"range=0..1"`
		}
	}
	type blank struct {
		_ float64 `wind:"quant=1"`
		X float64
	}
	type view struct {
		X float64 `ecs:"read"`
	}
	type upper struct {
		X float64 `Wind:"q=1"`
	}
	for _, c := range []struct {
		want  []string
		setup func(w *ecs.World)
	}{
		{[]string{`component "position"`, "quant.X", `wind:"quant=1"`, "did you mean q?"}, func(w *ecs.World) { ecs.Component[quant](w, "position") }},
		{[]string{`component "p"`, "inner.Box.X", "did you mean q?"}, func(w *ecs.World) { ecs.Component[inner](w, "p") }},
		{[]string{`resource "r"`, "quant.X", "did you mean q?"}, func(w *ecs.World) { ecs.Resource[quant](w, "r") }},
		{[]string{`event "e"`, "quant.X", "did you mean q?"}, func(w *ecs.World) { ecs.Event[quant](w, "e") }},
		{[]string{`message "m"`, "quant.X", "did you mean q?"}, func(w *ecs.World) { ecs.Outgoing[quant](w, "m") }},
		{[]string{`command "c"`, "quant.X", "did you mean q?"}, func(w *ecs.World) { ecs.Handle[quant](w, "c", func(*ecs.Tick, *ecs.Cmd[quant]) {}) }},
		{[]string{"text.Name", "only numbers have steps", "a text"}, func(w *ecs.World) { ecs.Component[text](w, "c") }},
		{[]string{"flag.On", "only numbers have steps", "a bool"}, func(w *ecs.World) { ecs.Component[flag](w, "c") }},
		{[]string{"target.Of", "only numbers have steps", "an entity"}, func(w *ecs.World) { ecs.Component[target](w, "c") }},
		{[]string{"mixed.Both.On", `wind:"q=2"`}, func(w *ecs.World) { ecs.Component[mixed](w, "c") }},
		{[]string{"overridden.Both", "did you mean q?"}, func(w *ecs.World) { ecs.Component[overridden](w, "c") }},
		{[]string{"array.Slots[0].X", "a range without a step"}, func(w *ecs.World) { ecs.Component[array](w, "c") }},
		{[]string{"blank._", "did you mean q?"}, func(w *ecs.World) { ecs.Component[blank](w, "c") }},
		{[]string{"view.X", `ecs:"read"`, "belongs to a field of a query's view"}, func(w *ecs.World) { ecs.Component[view](w, "c") }},
		{[]string{"upper.X", `Wind:"q=1"`, "did you mean wind?"}, func(w *ecs.World) { ecs.Component[upper](w, "c") }},
	} {
		got := refused(c.setup)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q in it", got, want)
			}
		}
	}
}

// TestATagThatReflectionPassesOver: Setup refuses such a tag but ignores other libraries' tags.
func TestATagThatReflectionPassesOver(t *testing.T) {
	for tag, want := range map[reflect.StructTag]string{
		`wind:q=1`: "is not of the form", `wind="q=1"`: "is not of the form", `json:"x" wind: "q=1"`: "is not of the form", `wind`: "is not of the form",
		`wind:"q=1`: "is not of the form", `WIND:"q=1"`: "did you mean wind?", `json:"x" wind:"q=1" wind:"-"`: "has wind twice",
		`wind:"q=1" json:"x"`: "", `json:"wind"`: "", `json:"x,omitempty" usage:"wind: how strong"`: "", `window:"x"`: "", `windy`: "", ``: "",
	} {
		if err := ecs.CheckTagKeys(tag, "wind"); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", tag, err, want)
		}
	}
}

// TestTheWordsOfATag: every accepted word, and every refused one with its suggestion.
func TestTheWordsOfATag(t *testing.T) {
	for text, want := range map[string]ecs.FieldTag{
		"":                          {},
		"replicated":                {},
		"-":                         {Hidden: true},
		"q=0.5":                     {Step: 0.5, Low: -(1<<31 - 1), Steps: 1<<32 - 2},
		"q=0.01,range=-10..10":      {Step: 0.01, Low: -1000, Steps: 2000},
		" q = 0.5 , range = 0..1 ":  {Step: 0.5, Steps: 2},
		"range=0..1,q=1,replicated": {Step: 1, Steps: 1},
	} {
		if got, err := ecs.ParseTag(text, ecs.KindF64); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	if got, err := ecs.ParseTag("range=-5..5", ecs.KindI8); err != nil || got != (ecs.FieldTag{Step: 1, Low: -5, Steps: 10}) {
		t.Errorf("the range of an integer: %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"quant=1": "did you mean q?", "quantum=1": "did you mean q?", "Q=1": "did you mean q?", "step=1": "did you mean q?",
		"rng=0..1": "did you mean range?", "rang=0..1": "did you mean range?", "Range=0..1": "did you mean range?", "r=0..1": "did you mean range?", "max=4": "did you mean range?",
		"replicate": "did you mean replicated?", "hidden": "did you mean -?", "colour": "the keys are q=STEP, range=LOW..HIGH, replicated and -",
		"priority=3": "the keys are", "history": "the keys are", "visibility=owner": "the keys are",
		"q": "q=; want a positive number", "q=0": "want a positive number", "q=-1": "want a positive number", "q=x": "want a positive number",
		"q=NaN": "want a positive number", "q=Inf": "want a positive number", "q=1,5": `has the key "5"`,
		"q=0.01,range=5": "want two finite numbers", "q=1,range=-Inf..Inf": "want two finite numbers", "q=1,range=0-5": "want two finite numbers", "q=1,range=a..b": "want two finite numbers",
		"q=0.01,range=5..5": "not below its high end", "q=0.01,range=5..1": "not below its high end",
		"range=0..5": "without a step", "q=1e-9,range=-1000..1000": "more than 2^32 steps", "q=10,range=0..1": "larger than its range",
		"q=1,q=2": `has "q" twice`, "-,q=1": "must stand alone", "-=1": "it takes none", "replicated=yes": "it takes none", "q=1,": "an empty word", ",": "an empty word",
	} {
		_, err := ecs.ParseTag(text, ecs.KindF64)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("wind:%q", text)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestATagFitsTheWholeNumbersOfItsField: a tag that clips values in silence, or speaks of values that the field never has, is an
// error of Setup that names component, field and tag.
func TestATagFitsTheWholeNumbersOfItsField(t *testing.T) {
	for _, c := range []struct {
		kind ecs.FieldKind
		tag  string
		want string // "": accepted
	}{
		{ecs.KindU64, "q=1", "q without a range on a uint64"},
		{ecs.KindI64, "q=1000", "q without a range on an int64"},
		{ecs.KindU32, "q=1", "q without a range on a uint32"},
		{ecs.KindU32, "q=3", ""},
		{ecs.KindI32, "q=1", ""},
		{ecs.KindU8, "q=10", ""},
		{ecs.KindU64, "q=10000000000", ""},
		{ecs.KindU64, "range=0..100", ""},
		{ecs.KindU64, "q=5,range=0..100", ""},
		{ecs.KindI64, "range=-100..100", ""},
		{ecs.KindU64, "range=-5..5", "range=-5..5 on a uint64, which has only 0 to"},
		{ecs.KindU8, "range=0..256", "which has only 0 to 255"},
		{ecs.KindI8, "range=-200..0", "which has only -128 to 127"},
		{ecs.KindU64, "range=0..1e19", "more than 2^32 steps"},
		{ecs.KindI32, "range=0..3e9", "which has only -2.147483648e+09 to"},
		{ecs.KindI32, "q=0.5", "the step q=0.5 on an int32; want a whole step"},
		{ecs.KindU16, "q=0.01,range=0..100", "want a whole step"},
		{ecs.KindI32, "range=0.5..9", "want whole numbers"},
	} {
		if _, err := ecs.ParseTag(c.tag, c.kind); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s: %v, want %q", c.tag, c.kind, err, c.want)
		}
	}
	type score struct {
		Points uint64 `wind:"q=1"`
	}
	_, err := ecs.SchemaOf(ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) { ecs.Component[score](w, "score") }}, ecs.Config{})
	for _, want := range []string{`component "score"`, "score.Points", `wind:"q=1"`, "add one, such as range=0..1000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Setup says %v, want %s", err, want)
		}
	}
}

// TestAnyWindTagReplicates: an empty one does too; only "-" does not.
func TestAnyWindTagReplicates(t *testing.T) {
	type empty struct {
		N uint32 `wind:""`
	}
	type word struct {
		N uint32 `wind:"replicated"`
	}
	type hidden struct {
		N uint32 `wind:"-"`
	}
	type none struct{ N uint32 }
	s, err := ecs.SchemaOf(ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) {
		ecs.Component[empty](w, "empty")
		ecs.Component[word](w, "word")
		ecs.Component[hidden](w, "hidden")
		ecs.Component[none](w, "none")
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, false} {
		if c := &s.Components[i]; c.Replicated != want {
			t.Errorf("component %s: replicated %v", c.Name, c.Replicated)
		}
	}
}

// TestWhatClientsCannotBeServedIsAnErrorOfSetup: no such problem may wait until the first client joins.
func TestWhatClientsCannotBeServedIsAnErrorOfSetup(t *testing.T) {
	type place struct{ X, Y float64 }
	type spot struct{ X, Y float32 }
	type crooked struct {
		X float64
		Y float32
	}
	type large struct{ Bytes [9 << 10]byte }
	type parts struct {
		Cells [1000]struct{ North, East, South, West uint8 }
	}
	type tagged struct {
		P *place `wind:"read"`
	}
	type misread struct {
		P *place `ecs:"raed"`
	}
	type self struct {
		Self ecs.Entity `ecs:"read"`
		P    *place
	}
	type filter struct {
		P *place
		_ ecs.With[spot] `ecs:"optional"`
	}
	type bundle struct {
		Place place `wind:"q=1"`
	}
	for _, c := range []struct {
		want  string
		setup func(w *ecs.World)
	}{
		{`component "b" is spatial, and so is "a": only one component can place the entities of a game`, func(w *ecs.World) {
			ecs.Component[place](w, "a", ecs.Spatial)
			ecs.Component[spot](w, "b", ecs.Spatial)
		}},
		{`component "c" is spatial, but its X is a f64 and its Y a f32`, func(w *ecs.World) { ecs.Component[crooked](w, "c", ecs.Spatial) }},
		{`resource "r" cannot be spatial`, func(w *ecs.World) { ecs.Resource[place](w, "r", ecs.Spatial) }},
		{`command "wind.x": names that begin with "wind." are Wind's own`, func(w *ecs.World) { ecs.Handle[place](w, "wind.x", func(*ecs.Tick, *ecs.Cmd[place]) {}) }},
		{`component "wind.x": names`, func(w *ecs.World) { ecs.Component[place](w, "wind.x") }},
		{`resource "wind.x": names`, func(w *ecs.World) { ecs.Resource[place](w, "wind.x") }},
		{`event "wind.x": names`, func(w *ecs.World) { ecs.Event[place](w, "wind.x") }},
		{`message "wind.x": names`, func(w *ecs.World) { ecs.Outgoing[place](w, "wind.x") }},
		{`handle ecs.Join`, func(w *ecs.World) { ecs.Handle[place](w, "wind.join", func(*ecs.Tick, *ecs.Cmd[place]) {}) }},
		{`command "steer" is sampled and has 9216 bytes, more than the 8192 that a client can send`, func(w *ecs.World) {
			ecs.Handle[large](w, "steer", func(*ecs.Tick, *ecs.Cmd[large]) {}, ecs.Sampled)
		}},
		{`the schema has`, func(w *ecs.World) {
			ecs.Component[parts](w, "a")
			ecs.Event[parts](w, "a")
			ecs.Resource[parts](w, "a")
		}},
		{`field P: the tag wind:"read" belongs to a field of a component`, func(w *ecs.World) {
			ecs.Component[place](w, "a")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[tagged]) {})
		}},
		{`field P: the tag ecs:"raed" has the word "raed" (did you mean read?)`, func(w *ecs.World) {
			ecs.Component[place](w, "a")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[misread]) {})
		}},
		{`field Self: the tag ecs:"read" has no meaning here`, func(w *ecs.World) {
			ecs.Component[place](w, "a")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[self]) {})
		}},
		{`field _: the tag ecs:"optional" has no meaning here`, func(w *ecs.World) {
			ecs.Component[place](w, "a")
			ecs.Component[spot](w, "b")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Query[filter]) {})
		}},
		{`field Place: the tag wind:"q=1" has no meaning here`, func(w *ecs.World) {
			ecs.Component[place](w, "a")
			ecs.System(w, "s", func(*ecs.Tick, *ecs.Spawner[bundle]) {})
		}},
	} {
		if got := refused(c.setup); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q in it", got, c.want)
		}
	}
}
