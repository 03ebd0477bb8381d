package ecs_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// A stepping world enforces every limit of Restore, Apply and DecodeFrame first: at the limit they can read its output,
// and above it the world fails and names the limit. Registration enforces the limits on types, names and options,
// before anything can be written: see register_test.go, options_test.go.

// setsGame spawns entities, one a tick, each with a set of components that no other has: by component access, by
// spawners or by adding to an entity.
func setsGame(how string) ecs.Game {
	g := statusGame(0, 1<<30)
	plain := g.Setup
	g.Setup = func(w *ecs.World) {
		plain(w)
		ecs.Resource[struct{ Failed, Got int32 }](w, "count")
		ecs.System(w, "make", func(t *ecs.Tick, a *ecs.Access, s *ecs.Spawner[struct{ statusBase }]) {
			for i := range 100 { // 100 sets a tick
				n := (int(t.Now())-1)*100 + i
				e, ids, values := ecs.Entity{}, []int{0}, [][]byte{make([]byte, 4)}
				if how == "adding" {
					e = s.New(struct{ statusBase }{statusBase{uint32(n)}})
				}
				for bit := range 16 {
					if n>>bit&1 == 0 {
						continue
					}
					if how == "adding" {
						a.Set(e, bit+1, []byte{1})
					}
					ids, values = append(ids, bit+1), append(values, []byte{1})
				}
				if how == "access" {
					if _, err := a.Spawn(ids, values); err != nil {
						panic(err)
					}
				}
			}
		})
		ecs.System(w, "touch", func(_ *ecs.Tick, q *ecs.Query[statusView], c *ecs.Comp[status0]) { // stays within the existing sets
			for v := range q.Each {
				v.Base.N++
				if !c.Has(v.Self) {
					c.Set(v.Self, status0{1})
				}
				return
			}
		})
	}
	return g
}

func TestLimitOfTables(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		defer ecs.SetTableLimits(700, 100)()
	}
	for _, how := range []string{"access", "adding"} {
		g := setsGame(how)
		w, follower := newWorldOf(t, g), newWorldOf(t, g)
		step := func() ecs.Output {
			o := w.Step(ecs.Frame{Tick: w.Tick() + 1})
			if err := follower.Apply(o.Delta.AppendTo(nil)); err != nil {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), err)
			}
			if w.Recompute() != o.Checksum {
				t.Fatalf("%s: the checksum does not match the values", how)
			}
			return o
		}
		restore := func() *ecs.World {
			x, err := ecs.Restore(g, w.AppendSnapshot(nil))
			if err != nil {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), err)
			}
			return x
		}
		for len(w.Tables())+100 <= ecs.MaxTables() {
			if o := step(); len(o.Failures) > 0 {
				t.Fatalf("%s: %d tables, and %v", how, len(w.Tables()), o.Failures)
			}
		}
		restore()
		full, living := len(w.Tables()), w.Len()
		for range 3 {
			before := restore()
			o := step()
			if len(o.Failures) != 1 || o.Failures[0].System != "make" || o.Failures[0].Rejected || !strings.Contains(o.Failures[0].Reason, fmt.Sprintf("too many different sets of components: a world has at most %d", ecs.MaxTables())) {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), o.Failures)
			}
			if w.Len() != living {
				t.Errorf("%s: %d entities after the failure, %d before", how, w.Len(), living)
			}
			if again := before.Step(ecs.Frame{Tick: o.Tick}); again.Checksum != o.Checksum || len(again.Failures) != 1 || again.Failures[0] != o.Failures[0] {
				t.Errorf("%s: a replay of the failure differs", how)
			}
			restore()
		}
		if got := len(w.Tables()); got > ecs.MaxTables() || how == "adding" && got != full {
			t.Errorf("%s: %d tables, %d at the limit", how, got, full)
		}
	}
}

// box yields one component type for each pair of types.
type box[A, B any] struct{ V uint8 }

// boxes registers sixteen components and adds them to all.
func boxes[A any](w *ecs.World, name string) {
	register := func(i int, f func(*ecs.World, string, ...ecs.Option)) { f(w, fmt.Sprintf("%s-%d", name, i)) }
	register(0, ecs.Component[box[A, [0]int]])
	register(1, ecs.Component[box[A, [1]int]])
	register(2, ecs.Component[box[A, [2]int]])
	register(3, ecs.Component[box[A, [3]int]])
	register(4, ecs.Component[box[A, [4]int]])
	register(5, ecs.Component[box[A, [5]int]])
	register(6, ecs.Component[box[A, [6]int]])
	register(7, ecs.Component[box[A, [7]int]])
	register(8, ecs.Component[box[A, [8]int]])
	register(9, ecs.Component[box[A, [9]int]])
	register(10, ecs.Component[box[A, [10]int]])
	register(11, ecs.Component[box[A, [11]int]])
	register(12, ecs.Component[box[A, [12]int]])
	register(13, ecs.Component[box[A, [13]int]])
	register(14, ecs.Component[box[A, [14]int]])
	register(15, ecs.Component[box[A, [15]int]])
}

// componentsGame has 240 components, and more.
func componentsGame(more func(*ecs.World)) ecs.Game {
	return ecs.Game{Name: "components", TickRate: 30, Setup: func(w *ecs.World) {
		boxes[[0]int](w, "a")
		boxes[[1]int](w, "b")
		boxes[[2]int](w, "c")
		boxes[[3]int](w, "d")
		boxes[[4]int](w, "e")
		boxes[[5]int](w, "f")
		boxes[[6]int](w, "g")
		boxes[[7]int](w, "h")
		boxes[[8]int](w, "i")
		boxes[[9]int](w, "j")
		boxes[[10]int](w, "k")
		boxes[[11]int](w, "l")
		boxes[[12]int](w, "m")
		boxes[[13]int](w, "n")
		boxes[[14]int](w, "o")
		ecs.System(w, "make", func(t *ecs.Tick, a *ecs.Access) { // one entity with all of them, and one with all but one
			all, values := []int{}, [][]byte{}
			for i := range a.Schema().Components {
				all, values = append(all, i), append(values, []byte{byte(t.Now()) + byte(i)})
			}
			if _, err := a.Spawn(all, values); err != nil {
				panic(err)
			}
			e, err := a.Spawn(all[1:], values[1:])
			if err != nil {
				panic(err)
			}
			a.Set(e, 239-int(t.Now()), []byte{1})
			a.Remove(e, 239)
		})
		if more != nil {
			more(w)
		}
	}}
}

// readAgain makes a tick and reads its output in every possible way.
func readAgain(t *testing.T, w, follower *ecs.World, f ecs.Frame) ecs.Output {
	t.Helper()
	if err := sameFrame(follower, f, w.AppendFrame(nil, f)); err != nil {
		t.Fatal(err)
	}
	o := w.Step(f)
	if err := follower.Apply(o.Delta.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	b := w.AppendSnapshot(nil)
	x, err := ecs.Restore(w.Game(), b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x.AppendSnapshot(nil), b) || !bytes.Equal(follower.AppendSnapshot(nil), b) {
		t.Fatalf("tick %d: a world read back differs", f.Tick)
	}
	if s, err := ecs.ParseSchema(w.Schema().JSON()); err != nil || s.Hash() != w.Schema().Hash() {
		t.Fatal(err)
	}
	return o
}

func TestLimitOfComponents(t *testing.T) {
	w, follower := newWorldOf(t, componentsGame(nil)), newWorldOf(t, componentsGame(nil))
	for range 5 {
		if o := readAgain(t, w, follower, frame(w)); len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
	}
	_, err := ecs.New(componentsGame(func(w *ecs.World) { ecs.Component[mark](w, "mark") }), ecs.Config{})
	if err == nil || !strings.Contains(err.Error(), `component "mark": a game has at most 240 components`) {
		t.Error(err)
	}
}

// The brim game fills everything that has a size: values, names, texts, reasons, replies, messages, failures.
type (
	brimValue   struct{ B [64 << 10]uint8 }
	brimTexts   struct{ A, B, C, D ecs.Text64 }
	brimBeyond  struct{ B [64<<10 + 1]uint8 }
	brimOptions struct{ Motto string }
	brimNo      struct{ Reason uint8 }
	brimLetter  struct{ B [64<<10 - 16 - 128 - 64]uint8 }
	brimNote    struct{}
)

func brimGame(more func(*ecs.World)) ecs.Game {
	long := "l" + strings.Repeat("-", 63)
	return ecs.Game{Name: strings.Repeat("b", 40), TickRate: 240, Options: brimOptions{}, Setup: func(w *ecs.World) {
		ecs.Component[brimValue](w, long)
		ecs.Component[brimTexts](w, "texts")
		ecs.Resource[brimValue](w, long)
		ecs.Outgoing[brimLetter](w, long)
		ecs.Handle[brimNo](w, long, func(t *ecs.Tick, c *ecs.Cmd[brimNo]) { c.Reject(strings.Repeat("é", int(c.Value.Reason))) })
		ecs.System(w, long, func(t *ecs.Tick, s *ecs.Spawner[struct {
			brimValue
			brimTexts
		}], r *ecs.Res[brimValue], o *ecs.Outbox[brimLetter],
		) {
			var v brimValue
			for i := range v.B {
				v.B[i] = uint8(t.Now()) + uint8(i)
			}
			*r.Get() = v
			text := ecs.NewText64(strings.Repeat("é", 32))
			s.New(struct {
				brimValue
				brimTexts
			}{v, brimTexts{text, text, text, text}})
			o.Send(strings.Repeat("a", 128), brimLetter{})
		})
		for i := range 70 {
			ecs.System(w, fmt.Sprint("fail ", i), func(t *ecs.Tick) { panic(strings.Repeat("é", 1000)) })
		}
		if more != nil {
			more(w)
		}
	}}
}

func TestWhatHasASizeIsReadAtItsLimit(t *testing.T) {
	g := brimGame(nil)
	options, err := g.EncodeOptions(brimOptions{strings.Repeat("m", 256)})
	if err != nil {
		t.Fatal(err)
	}
	w, _ := ecs.New(g, ecs.Config{Options: options})
	follower, _ := ecs.New(g, ecs.Config{Options: options})
	readAgain(t, w, follower, frame(w, joins(w, 1, strings.Repeat("é", 32))))
	for range 3 {
		f := frame(w)
		for i := range 40 { // more than a session keeps, with reasons up to the limit and beyond
			f.Commands = append(f.Commands, ecs.NewCommand(w, client(1), uint64(i)+w.Tick()*100, brimNo{uint8(i) + 60}))
		}
		w.Order(f.Tick, f.Commands)
		o := readAgain(t, w, follower, f)
		named := 0
		for _, x := range o.Failures {
			if x.Rejected && len(x.Reason) > 128 || len(x.Reason) > 135 {
				t.Errorf("a reason of %d bytes", len(x.Reason))
			}
			if !x.Rejected {
				named++
			}
		}
		if named != 64 || len(o.Replies) != 40 || len(o.Outbox) != 1 {
			t.Errorf("%d failures, %d replies, %d messages", named, len(o.Replies), len(o.Outbox))
		}
	}
	for says, more := range map[string]func(*ecs.World){
		"has 65537 bytes, more than 65536": func(w *ecs.World) { ecs.Component[brimBeyond](w, "beyond") },
		"a name must have 1 to 64 bytes":   func(w *ecs.World) { ecs.System(w, strings.Repeat("s", 65), func(*ecs.Tick) {}) },
		"a name must match [a-z]":          func(w *ecs.World) { ecs.Component[mark](w, strings.Repeat("s", 65)) },
	} {
		if _, err := ecs.New(brimGame(more), ecs.Config{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	full := brimGame(func(w *ecs.World) {
		ecs.Outgoing[brimNote](w, "n")
		ecs.System(w, "one more", func(_ *ecs.Tick, o *ecs.Outbox[brimNote]) { o.Send("x", brimNote{}) })
		ecs.System(w, "too far", func(_ *ecs.Tick, o *ecs.Outbox[brimNote]) { o.Send(strings.Repeat("a", 129), brimNote{}) })
	})
	x := newWorldOf(t, full)
	o := x.Step(frame(x))
	if len(o.Outbox) != 1 {
		t.Errorf("%d messages", len(o.Outbox))
	}
	if _, err := g.EncodeOptions(brimOptions{strings.Repeat("m", 257)}); err == nil || !strings.Contains(err.Error(), "longer than 256") {
		t.Error(err)
	}
}
