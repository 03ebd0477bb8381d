package ecs_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
)

type (
	dynPos   struct{ X, Y float64 }
	dynLife  struct{ Left int32 }
	dynTag   struct{}
	dynBorn  struct{ Who ecs.Entity }
	dynScore struct{ Born, Died uint32 }
	dynPoke  struct{ N uint8 }
)

// byNumber is a game whose systems know their types only by name.
var byNumber = ecs.Game{Name: "by-number", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[dynPos](w, "pos")
	ecs.Component[dynLife](w, "life")
	ecs.Component[dynTag](w, "tag")
	ecs.Resource[dynScore](w, "score")
	ecs.Event[dynBorn](w, "born")
	ecs.Attach(w, "what a package keeps")
	ecs.Handle[dynPoke](w, "poke", func(t *ecs.Tick, c *ecs.Cmd[dynPoke], a *ecs.Access) {
		for range c.Value.N % 8 {
			spawnByNumber(t, a)
		}
		if c.Value.N%5 == 0 {
			c.Reject("not today") // drops the spawn, but the table exists all the same
		}
	})
	ecs.System(w, "grow", func(t *ecs.Tick, a *ecs.Access) {
		if t.Now()%3 == 0 {
			spawnByNumber(t, a)
		}
		if t.Now()%17 == 0 {
			panic("contained")
		}
	})
	ecs.System(w, "move", moveByNumber)
	ecs.System(w, "age", ageByNumber)
}}

func number(s *ecs.Schema, find func(*ecs.Schema, string) (int, bool), name string) int {
	i, ok := find(s, name)
	if !ok {
		panic(name)
	}
	return i
}

func component(a *ecs.Access, name string) int {
	return number(a.Schema(), (*ecs.Schema).Component, name)
}

func spawnByNumber(t *ecs.Tick, a *ecs.Access) {
	pos, life := make([]byte, 16), make([]byte, 4)
	binary.LittleEndian.PutUint64(pos, math.Float64bits(float64(t.Now())))
	binary.LittleEndian.PutUint32(life, uint32(5+t.Now()%40))
	// Not in schema order.
	e, err := a.Spawn([]int{component(a, "life"), component(a, "pos")}, [][]byte{life, pos})
	if err != nil {
		panic(err)
	}
	who := make([]byte, 8)
	binary.LittleEndian.PutUint32(who, e.ID())
	binary.LittleEndian.PutUint32(who[4:], e.Generation())
	a.Emit(number(a.Schema(), (*ecs.Schema).Event, "born"), who)
	score := a.Resource(number(a.Schema(), (*ecs.Schema).Resource, "score"))
	binary.LittleEndian.PutUint32(score, binary.LittleEndian.Uint32(score)+1)
}

func moveByNumber(t *ecs.Tick, a *ecs.Access) {
	pos := component(a, "pos")
	for _, table := range a.Tables(nil, []int{pos}, []int{component(a, "tag")}) {
		c, _ := a.Write(table, pos)
		for i := range table.Len() {
			x := c.Data[i*c.Stride:]
			binary.LittleEndian.PutUint64(x, math.Float64bits(math.Float64frombits(binary.LittleEndian.Uint64(x))+0.5))
		}
	}
}

func ageByNumber(t *ecs.Tick, a *ecs.Access) {
	life, tag := component(a, "life"), component(a, "tag")
	for _, table := range a.Tables(nil, []int{life}, nil) {
		c, _ := a.Write(table, life)
		for i, e := range table.Entities() {
			left := int32(binary.LittleEndian.Uint32(c.Data[i*c.Stride:])) - 1
			binary.LittleEndian.PutUint32(c.Data[i*c.Stride:], uint32(left))
			switch {
			case left <= 0:
				t.Despawn(e)
			case left%7 == 0:
				a.Set(e, tag, nil)
			case left%7 == 3:
				a.Remove(e, tag)
			}
		}
	}
}

func TestAccessKeepsWindsPromises(t *testing.T) {
	for _, part := range []func(ecstest.TB, ecs.Game, ecstest.Config){ecstest.Setup, ecstest.Replay, ecstest.Restore, ecstest.Apply, ecstest.Recompute} {
		part(t, byNumber, ecstest.Config{Ticks: 400})
	}
}

func TestAccessDoesWhatItIsAsked(t *testing.T) {
	w, err := ecs.New(byNumber, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	born, last := 0, ecs.Entity{}
	for range 16 {
		o := w.Step(ecs.Frame{Tick: w.Tick() + 1})
		for _, e := range o.Events {
			born += e.Count
			last = ecs.EntityFrom(binary.LittleEndian.Uint32(e.Values), binary.LittleEndian.Uint32(e.Values[4:]))
		}
		if len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
	}
	if got := ecs.ResourceOf[dynScore](w).Born; got != 5 || born != 5 {
		t.Errorf("%d born by the score, %d by events, want 5", got, born)
	}
	if v, ok := ecs.Get[dynPos](w, last); !ok || v != (dynPos{X: 15 + 0.5*2}) {
		t.Errorf("the last born is at %v, %v", v, ok)
	}
	if s, ok := ecs.Attached[string](w); !ok || s != "what a package keeps" {
		t.Errorf("attached: %q, %v", s, ok)
	}
	if _, ok := ecs.Attached[int](w); ok {
		t.Error("an int was never attached")
	}
}

func TestAccessRefusesWhatDoesNotFit(t *testing.T) {
	for want, f := range map[string]func(*ecs.Tick, *ecs.Access){
		"pos: a value of 3 bytes, want 16": func(_ *ecs.Tick, a *ecs.Access) { _, _ = a.Spawn([]int{0}, [][]byte{{1, 2, 3}}) },
		"2 components, 1 of them different": func(_ *ecs.Tick, a *ecs.Access) {
			_, _ = a.Spawn([]int{0, 0}, [][]byte{make([]byte, 16), make([]byte, 16)})
		},
		"born: a value of 0 bytes, want 8": func(_ *ecs.Tick, a *ecs.Access) { a.Emit(0, nil) },
	} {
		g := ecs.Game{Name: "misuse", TickRate: 30, Setup: func(w *ecs.World) {
			ecs.Component[dynPos](w, "pos")
			ecs.Event[dynBorn](w, "born")
			ecs.System(w, "misuse", f)
		}}
		w, err := ecs.New(g, ecs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if o := w.Step(ecs.Frame{Tick: 1}); len(o.Failures) != 1 || !strings.Contains(o.Failures[0].Reason, want) || w.Len() != 0 {
			t.Errorf("got %v, want %s", o.Failures, want)
		}
	}
}

func TestFindKnowsPaths(t *testing.T) {
	typ := jsonType(t)
	for path, want := range map[string]string{
		"Hero": "Hero", "hero": "Hero", "at.x": "At.X", "At.y": "At.Y", "bits": "Bits", "bits[1]": "Bits[1]", "slots[1].count": "Slots[1].Count",
	} {
		if f, err := typ.Find(path); err != nil || f.Path != want {
			t.Errorf("%s: got %s, %v", path, f.Path, err)
		}
	}
	whole, _ := typ.Find("bits")
	if f, _ := typ.Find("bits[2]"); f.Array || f.Count != 1 || f.Offset != whole.Offset+2 || f.PackedOffset != whole.PackedOffset+2 {
		t.Errorf("bits[2] is %+v", f)
	}
	for _, path := range []string{"", "HERO", "at", "bits[3]", "bits[-1]", "bits[]", "bits[1", "at.x.y", "[0]", "hero[0]"} {
		if f, err := typ.Find(path); err == nil || f.Path != "" {
			t.Errorf("%q: got %+v", path, f)
		}
	}
}

func TestNearestIsNear(t *testing.T) {
	names := []string{"health", "position", "velocity", "player_id"}
	for name, want := range map[string]string{"helth": "health", "hpealth": "health", "haelth": "health", "Position": "position", "playerid": "player_id", "velocty": "velocity", "zzz": "", "": "", "mana": ""} {
		if got := ecs.Nearest(name, names); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
