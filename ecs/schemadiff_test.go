package ecs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// Builds of one small game: the first one writes, the others read.
type (
	dSpot  struct{ X, Y float64 }
	dSpotZ struct { // a field inserted
		X float64
		Z float32
		Y float64
	}
	dSpotR struct{ X, North float64 } // a field renamed
	dSpotT struct {
		X float64
		Y int64
	}
	dSpotM struct{ Y, X float64 }
	dSeen  struct {
		X float64 `wind:"q=0.01,range=-10..10"`
		Y float64
	}
	dLife  struct{ Left int32 }
	dExtra struct{ N uint8 }
	dScore struct{ Total int64 }
	dGo    struct{ DX float64 }
	dGoTo  struct{ DX, DY float64 }
	dBuy   struct{ What uint16 }
	dSell  struct{ What uint16 }
	dAim   struct{ At float64 }
	dNews  struct{ Tick uint64 }
	dNews2 struct{ Tick, Place uint64 }
)

// dBuild describes how a build differs from the first one.
type dBuild struct {
	name    string
	setup   func(w *ecs.World)
	changes []string // expected from SchemaDiff, in order
	breaks  ecs.Breaks
	silent  ecs.Breaks // the subset that no error reveals: the bytes can be read but mean something else
}

func dGame(setup func(w *ecs.World)) ecs.Game {
	return ecs.Game{Name: "d", TickRate: 30, Setup: setup}
}

// dFirst registers the first build, with a gap for the variation.
func dFirst(w *ecs.World) {
	ecs.Component[dSpot](w, "spot")
	dRest[dSpot](w)
}

// dRest is the first build without its first component.
func dRest[S any](w *ecs.World) {
	ecs.Component[dLife](w, "life")
	ecs.Resource[dScore](w, "score")
	dCommands[S](w)
}

func dCommands[S any](w *ecs.World) {
	dGoing[S, dGo](w)
	dBuying(w, "buy")
	dNewsOf[dNews](w)
	dSystems[S](w)
}

func dGoing[S, C any](w *ecs.World) {
	ecs.Handle[C](w, "go", func(t *ecs.Tick, c *ecs.Cmd[C], r *ecs.Res[dScore]) { r.Get().Total++ }, ecs.Sampled)
}

func dBuying(w *ecs.World, name string) {
	ecs.Handle[dBuy](w, name, func(t *ecs.Tick, c *ecs.Cmd[dBuy], r *ecs.Res[dScore]) { r.Get().Total += int64(c.Value.What) })
}

func dNewsOf[N any](w *ecs.World) {
	ecs.Outgoing[N](w, "news")
	ecs.System(w, "tell", func(t *ecs.Tick, out *ecs.Outbox[N]) {
		var n N
		out.Send("other", n)
	})
}

func dSystems[S any](w *ecs.World) {
	type body struct {
		Spot S
		Life dLife
	}
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[body]) {
		for i := range 5 {
			s.New(body{Life: dLife{int32(i)}})
		}
	})
	ecs.System(w, "age", func(t *ecs.Tick, q *ecs.Query[struct{ L *dLife }]) {
		for v := range q.Each {
			v.L.Left++
		}
	})
}

var dBuilds = []dBuild{
	{"the same", dFirst, nil, 0, 0},
	{"a component renamed", func(w *ecs.World) {
		ecs.Component[dSpot](w, "place")
		dRest[dSpot](w)
	}, []string{"component spot is now place"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, 0},
	{"a field inserted", func(w *ecs.World) {
		ecs.Component[dSpotZ](w, "spot")
		dRest[dSpotZ](w)
	}, []string{"component spot.Z (f32) was added"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, 0},
	{"a field renamed", func(w *ecs.World) {
		ecs.Component[dSpotR](w, "spot")
		dRest[dSpotR](w)
	}, []string{"component spot.Y is now North"}, ecs.BreaksState, 0},
	{"a field of another kind", func(w *ecs.World) {
		ecs.Component[dSpotT](w, "spot")
		dRest[dSpotT](w)
	}, []string{"component spot.Y was f64, is now i64"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, ecs.BreaksDeltas | ecs.BreaksTicks},
	{"fields in another order", func(w *ecs.World) {
		ecs.Component[dSpotM](w, "spot")
		dRest[dSpotM](w)
	}, []string{"component spot.Y moved in front of X"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, ecs.BreaksDeltas | ecs.BreaksTicks},
	{"a tag", func(w *ecs.World) {
		ecs.Component[dSeen](w, "spot")
		dRest[dSeen](w)
	}, nil, 0, 0},
	{"a component that became transient", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot", ecs.Transient)
		dRest[dSpot](w)
	}, []string{"component spot was not transient, is now transient"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, 0},
	{"a component added behind", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot")
		ecs.Component[dLife](w, "life")
		ecs.Component[dExtra](w, "extra")
		ecs.Resource[dScore](w, "score")
		dCommands[dSpot](w)
	}, []string{"component extra was added"}, 0, 0},
	{"a component added in front", func(w *ecs.World) {
		ecs.Component[dExtra](w, "extra")
		dFirst(w)
	}, []string{"component extra (in front of spot) was added"}, ecs.BreaksDeltas, 0},
	{"components in another order", func(w *ecs.World) {
		ecs.Component[dLife](w, "life")
		ecs.Component[dSpot](w, "spot")
		ecs.Resource[dScore](w, "score")
		dCommands[dSpot](w)
	}, []string{"component life moved in front of spot"}, ecs.BreaksDeltas, 0},
	{"a resource added in front", func(w *ecs.World) {
		ecs.Resource[dExtra](w, "extra")
		dFirst(w)
	}, []string{"resource extra (in front of score) was added"}, ecs.BreaksDeltas, 0},
	{"an event added", func(w *ecs.World) {
		ecs.Event[dExtra](w, "extra")
		dFirst(w)
	}, []string{"event extra was added"}, 0, 0},
	{"a command added behind", func(w *ecs.World) {
		dFirst(w)
		ecs.Handle[dSell](w, "sell", func(t *ecs.Tick, c *ecs.Cmd[dSell]) {})
	}, []string{"command sell was added"}, 0, 0},
	{"a command added in front", func(w *ecs.World) {
		ecs.Handle[dSell](w, "sell", func(t *ecs.Tick, c *ecs.Cmd[dSell]) {})
		dFirst(w)
	}, []string{"command sell (in front of go) was added"}, ecs.BreaksTicks, 0},
	{"a command renamed", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot")
		ecs.Component[dLife](w, "life")
		ecs.Resource[dScore](w, "score")
		dGoing[dSpot, dGo](w)
		dBuying(w, "purchase")
		dNewsOf[dNews](w)
		dSystems[dSpot](w)
	}, []string{"command buy is now purchase"}, ecs.BreaksTicks, ecs.BreaksTicks},
	{"a sampled command added behind", func(w *ecs.World) {
		dFirst(w)
		ecs.Handle[dAim](w, "aim", func(t *ecs.Tick, c *ecs.Cmd[dAim]) {}, ecs.Sampled)
	}, []string{"command aim was added"}, ecs.BreaksTicks, 0},
	{"a sampled command with another field", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot")
		ecs.Component[dLife](w, "life")
		ecs.Resource[dScore](w, "score")
		dGoing[dSpot, dGoTo](w)
		dBuying(w, "buy")
		dNewsOf[dNews](w)
		dSystems[dSpot](w)
	}, []string{"command go.DY (f64) was added"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, 0},
	{"a message with another field", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot")
		ecs.Component[dLife](w, "life")
		ecs.Resource[dScore](w, "score")
		dGoing[dSpot, dGo](w)
		dBuying(w, "buy")
		dNewsOf[dNews2](w)
		dSystems[dSpot](w)
	}, []string{"message news.Place (u64) was added"}, ecs.BreaksTicks, 0},
	{"a resource removed", func(w *ecs.World) {
		ecs.Component[dSpot](w, "spot")
		ecs.Component[dLife](w, "life")
		dSystems[dSpot](w)
	}, []string{"resource score was removed", "command go was removed", "command buy was removed", "message news was removed"}, ecs.BreaksState | ecs.BreaksDeltas | ecs.BreaksTicks, 0},
}

// TestSchemaDiffNamesTheFieldAndWhatItBreaks compares SchemaDiff's claims about a build with what that build can really
// read, in both directions.
func TestSchemaDiffNamesTheFieldAndWhatItBreaks(t *testing.T) {
	first := dGame(dFirst)
	recorded, err := ecs.SchemaOf(first, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := recordD(t, first)
	for _, b := range dBuilds {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			game := dGame(b.setup)
			schema, err := ecs.SchemaOf(game, ecs.Config{})
			if err != nil {
				t.Fatal(err)
			}
			diff := ecs.SchemaDiff(recorded, schema)
			var got []string
			for _, c := range diff {
				got = append(got, c.String())
			}
			if !slices.Equal(got, b.changes) {
				t.Errorf("the changes are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(b.changes, "\n  "))
			}
			breaks := ecs.Broken(diff)
			if breaks != b.breaks {
				t.Errorf("it breaks %b, want %b", breaks, b.breaks)
			}
			really := ecs.Breaks(0)
			if _, err := ecs.Restore(game, r.snapshot); err != nil {
				really |= ecs.BreaksState
			}
			if r.apply(game) != nil {
				really |= ecs.BreaksDeltas
			}
			if !r.again(game) {
				really |= ecs.BreaksTicks
			}
			if really != breaks&^b.silent {
				t.Errorf("it really breaks %b, want %b", really, breaks&^b.silent)
			}
		})
	}
}

// recordedD is the first build's output: genesis is the world for its seed.
type recordedD struct {
	frames   [][]byte
	deltas   [][]byte
	sums     []uint64
	outbox   []int // message sizes in bytes
	snapshot []byte
}

func recordD(t *testing.T, game ecs.Game) (r recordedD) {
	t.Helper()
	w, err := ecs.New(game, ecs.Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for tick := uint64(1); tick <= 5; tick++ {
		f := ecs.Frame{Tick: tick}
		if tick == 1 {
			f.Commands = append(f.Commands, ecs.NewCommand(w, client(1), 1, ecs.Join{Identity: ecs.NewText64("ada")}))
		} else {
			f.Commands = append(f.Commands, ecs.NewCommand(w, client(1), tick, dGo{float64(tick)}), ecs.NewCommand(w, client(1), tick, dBuy{uint16(tick)}))
		}
		w.Order(tick, f.Commands)
		r.frames = append(r.frames, w.AppendFrame(nil, f))
		out := w.Step(f)
		r.deltas, r.sums, r.outbox = append(r.deltas, out.Delta.AppendTo(nil)), append(r.sums, out.Checksum), append(r.outbox, outboxBytes(out))
	}
	r.snapshot = w.AppendSnapshot(nil)
	return r
}

func outboxBytes(out ecs.Output) (n int) {
	for _, m := range out.Outbox {
		n += 1 + len(m.Payload)
	}
	return n
}

func (r *recordedD) apply(game ecs.Game) error {
	w, err := ecs.New(game, ecs.Config{Seed: 3})
	for _, d := range r.deltas {
		if err == nil {
			err = w.Apply(d)
		}
	}
	return err
}

// again reports whether the recorded frames reproduce the recorded checksums and messages.
func (r *recordedD) again(game ecs.Game) bool {
	w, err := ecs.New(game, ecs.Config{Seed: 3})
	if err != nil {
		return false
	}
	var f ecs.Frame
	for i := range r.frames {
		if w.DecodeFrame(r.frames[i], &f) != nil {
			return false
		}
		if out := w.Step(f); out.Checksum != r.sums[i] || outboxBytes(out) != r.outbox[i] {
			return false
		}
	}
	return true
}
