package ecs_test

import (
	"errors"
	"math"
	"unsafe"

	"github.com/ferris1/wind/ecs"
)

// Chaos is a game that does, at random, everything that a game can do to a world, and some things that it should not.
// Its commands and systems depend only on the world and the frame, except for garbage: bits that a world must ignore
// and that differ at every call.

type (
	// Body has padding at its end and a float that is sometimes NaN.
	Body struct {
		X      float64
		Hidden bool
	}
	// Shape has padding inside.
	Shape struct {
		W, H  float32
		Sides uint8
		Color uint16
	}
	// Bond refers to another entity.
	Bond struct {
		To   ecs.Entity
		Knot [3]uint8
	}
	// Asleep is a tag.
	Asleep struct{}
	// Heat is transient: it is zero when a tick begins.
	Heat struct{ Degrees uint32 }
	// Label holds a text and nested values.
	Label struct {
		Name  ecs.Text16
		Marks [2]struct{ From, To int16 }
	}
	// Ledger is a resource; it has padding too.
	Ledger struct {
		Ticks   uint64
		Poked   uint64 // commands applied
		Last    ecs.Entity
		Flag    bool
		Heat    uint64
		Pushed  int64
		Players int32
	}
	// Scratch is a transient resource.
	Scratch struct{ N uint64 }

	// Noise is an event with padding.
	Noise struct {
		Of   ecs.Entity
		Loud bool
		Lost bool // emitted by a system that then failed: must never be seen
	}
	// Letter is a message to another shard.
	Letter struct {
		N    uint32
		Text ecs.Text32
	}

	// Push is a sampled command.
	Push struct {
		Force float64
		Up    bool
	}
	// Poke is a command that applies exactly once.
	Poke struct {
		What uint8
		Name ecs.Text16
	}
	// Quake comes from any source but a client.
	Quake struct{ Strength int32 }
)

// Validate refuses a Poke at something that does not exist.
func (p Poke) Validate() error {
	if p.What > 9 {
		return errors.New("there is nothing like that to poke")
	}
	return nil
}

type (
	bodyShape struct {
		Body
		Shape
	}
	shapeBond struct {
		Shape
		Bond
	}
	everything struct {
		Body
		Shape
		Bond
		Asleep
		Heat
		Label
	}
	onlyBond  struct{ B Bond }
	onlySleep struct{ Asleep }
	warm      struct {
		Body
		Heat
	}
)

type anyone struct{ Self ecs.Entity }

type awake struct {
	Body  *Body
	Shape *Shape `ecs:"optional"`
	Self  ecs.Entity
	_     ecs.Without[Asleep]
}

type bodies struct {
	Self []ecs.Entity
	Body []Body
}

// garbage differs at every call.
var garbage uint64

// soil writes garbage where a world must not look: into padding and the bits of NaNs.
func soil(b *Body) {
	garbage += 0x9E3779B97F4A7C15
	bytes := (*[16]byte)(unsafe.Pointer(b))
	for i := 9; i < 16; i++ {
		bytes[i] = byte(garbage >> (i % 8 * 8))
	}
	if b.X != b.X {
		b.X = math.Float64frombits(0x7FF8000000000000 | garbage>>16)
	}
}

func mess(t *ecs.Tick, all *ecs.Query[anyone], bs *ecs.Spawner[bodyShape], sb *ecs.Spawner[shapeBond],
	every *ecs.Spawner[everything], bond *ecs.Spawner[onlyBond], sleep *ecs.Spawner[onlySleep], hot *ecs.Spawner[warm],
	body *ecs.Comp[Body], shape *ecs.Comp[Shape], bonds *ecs.Comp[Bond], asleep *ecs.Comp[Asleep], heat *ecs.Comp[Heat],
	label *ecs.Comp[Label], ledger *ecs.Res[Ledger], noise *ecs.Events[Noise],
) {
	var last ecs.Entity
	for v := range all.Each {
		r := t.Rand(v.Self)
		switch r.IntN(48) {
		case 0:
			t.Despawn(v.Self)
		case 1: // twice, with the slot reused at once
			t.Despawn(v.Self)
			t.Despawn(v.Self)
			last = bond.New(onlyBond{Bond{To: v.Self, Knot: [3]uint8{1}}})
		case 2:
			b := Body{r.Range(-5, 5), r.Bool()}
			soil(&b)
			body.Set(v.Self, b)
		case 3:
			body.Remove(v.Self)
		case 4:
			shape.Set(v.Self, Shape{1, 2, 3, uint16(r.IntN(9))})
		case 5: // removed and added again in one tick
			shape.Remove(v.Self)
			shape.Set(v.Self, Shape{Sides: 7})
		case 6:
			asleep.Set(v.Self, Asleep{})
		case 7:
			asleep.Remove(v.Self)
		case 8:
			bonds.Set(v.Self, Bond{To: last})
		case 9:
			bonds.Remove(v.Self)
		case 10: // born and dead in one tick
			t.Despawn(bs.New(bodyShape{Body: Body{X: 5}}))
		case 11:
			if b := body.Get(v.Self); b != nil {
				b.X = math.NaN()
				soil(b)
			}
		case 12:
			if b := body.Get(v.Self); b != nil {
				b.X = math.Copysign(0, -1)
			}
		case 13: // written, then moved to another table
			if b := body.Get(v.Self); b != nil {
				b.X, b.Hidden = b.X+1, !b.Hidden
				asleep.Set(v.Self, Asleep{})
			}
		case 14:
			if s := shape.Get(v.Self); s != nil {
				s.Color++
				ledger.Get().Last = v.Self
			}
		case 15:
			heat.Set(v.Self, Heat{uint32(r.IntN(100))})
		case 16:
			heat.Remove(v.Self)
		case 17: // to an entity without a row yet
			asleep.Set(last, Asleep{})
			label.Set(last, Label{Name: ecs.NewText16("née")})
		case 18:
			label.Set(v.Self, Label{Name: ecs.NewText16("a name too long for it"), Marks: [2]struct{ From, To int16 }{{1, 2}, {3, int16(r.IntN(7))}}})
		case 19:
			label.Remove(v.Self)
		case 20:
			noise.Emit(Noise{Of: v.Self, Loud: r.Bool()})
		}
	}
	r := t.Rand(ecs.Entity{})
	for range r.IntN(1 + max(0, 60-all.Count())) {
		switch r.IntN(6) {
		case 0:
			bs.New(bodyShape{Body: Body{r.Float64(), true}})
		case 1:
			sb.New(shapeBond{Bond: Bond{To: last}})
		case 2:
			every.New(everything{Body: Body{X: 1}, Label: Label{Name: ecs.NewText16("all")}})
		case 3:
			bond.New(onlyBond{Bond{To: last}})
		case 4:
			sleep.New(onlySleep{})
		case 5:
			hot.New(warm{Body{X: 2}, Heat{3}})
		}
	}
	if r.IntN(200) == 0 { // a catastrophe: tables empty
		for v := range all.Each {
			t.Despawn(v.Self)
		}
	}
}

// glow reads a transient before anything has written it, and so sees whether it was zeroed.
func glow(t *ecs.Tick, q *ecs.Query[struct {
	H *Heat
	B *Body
}], ledger *ecs.Res[Ledger], scratch *ecs.Res[Scratch], sessions *ecs.Sessions,
) {
	l := ledger.Get()
	for v := range q.Each {
		l.Heat += uint64(v.H.Degrees)
		v.H.Degrees += uint32(1 + t.Now()%5)
		v.B.X += float64(v.H.Degrees)
	}
	l.Heat += scratch.Get().N
	scratch.Get().N += t.Now()
	l.Ticks++
	l.Flag = !l.Flag
	l.Players = int32(sessions.Len())
}

// faulty fails halfway through its work, in a quarter of all ticks.
func faulty(t *ecs.Tick, q *ecs.Query[awake], bs *ecs.Spawner[bodyShape], noise *ecs.Events[Noise], mail *ecs.Outbox[Letter]) {
	r := t.Rand(ecs.Entity{})
	left := r.IntN(80)
	for v := range q.Each {
		v.Body.X++
		soil(v.Body)
		if v.Shape != nil {
			v.Shape.W += 0.5
		}
		if left--; left == 0 {
			t.Despawn(v.Self)
			a := bs.New(bodyShape{})
			t.Despawn(bs.New(bodyShape{}))
			t.Control(1, a)
			noise.Emit(Noise{Of: a, Lost: true})
			mail.Send("lost", Letter{})
			panic("a bug of the game")
		}
	}
}

// drift uses column views.
func drift(t *ecs.Tick, q *ecs.Query[bodies], mail *ecs.Outbox[Letter]) {
	for v := range q.Each {
		for i := range v.Body {
			if v.Self[i].ID()%3 == 0 {
				v.Body[i].X += 0.125
			}
		}
	}
	if t.Now()%5 == 0 {
		mail.Send("shard-2", Letter{uint32(t.Now()), ecs.NewText32("hello")})
	}
}

func push(t *ecs.Tick, c *ecs.Cmd[Push], ledger *ecs.Res[Ledger], body *ecs.Comp[Body], sessions *ecs.Sessions) {
	ledger.Get().Pushed += int64(c.Value.Force)
	if c.Repeated() {
		ledger.Get().Pushed++
	}
	if s, ok := sessions.Get(c.From()); ok {
		if b := body.Get(s.View); b != nil {
			b.X += c.Value.Force
		}
	}
	if c.Value.Force > 90 {
		c.Reject("too hard")
	}
}

func poke(t *ecs.Tick, c *ecs.Cmd[Poke], ledger *ecs.Res[Ledger], bs *ecs.Spawner[bodyShape], all *ecs.Query[anyone]) {
	ledger.Get().Poked++
	e := bs.New(bodyShape{Body: Body{X: float64(c.Value.What)}})
	switch c.Value.What {
	case 0:
		c.Reject("nothing to poke")
	case 1:
		panic(errors.New("poked too hard"))
	case 2:
		for v := range all.Each {
			t.Control(c.From(), v.Self)
			t.Despawn(e)
			return
		}
	}
	t.Control(c.From(), e)
}

func join(t *ecs.Tick, c *ecs.Cmd[ecs.Join], bs *ecs.Spawner[bodyShape]) {
	if c.Value.Identity.Len() == 0 {
		c.Reject("who are you?")
	}
	t.Control(c.From(), bs.New(bodyShape{}))
}

func leave(t *ecs.Tick, c *ecs.Cmd[ecs.Leave], sessions *ecs.Sessions) {
	if s, ok := sessions.Get(c.From()); ok {
		t.Despawn(s.View)
	}
}

func quake(t *ecs.Tick, c *ecs.Cmd[Quake], q *ecs.Query[struct{ B *Body }]) {
	for v := range q.Each {
		v.B.X += float64(c.Value.Strength)
	}
}

// chaosOptions are the options of a chaos world.
type chaosOptions struct {
	Bodies int32  `usage:"bodies at the beginning" min:"0" max:"1000"`
	Title  string `usage:"of the ledger"`
}

var chaos = ecs.Game{Name: "chaos", TickRate: 30, Options: chaosOptions{Bodies: 10, Title: "x"}, Setup: func(w *ecs.World) {
	o := ecs.OptionsOf[chaosOptions](w)
	ecs.Component[Body](w, "body", ecs.Replicated)
	ecs.Component[Shape](w, "shape")
	ecs.Component[Bond](w, "bond")
	ecs.Component[Asleep](w, "asleep")
	ecs.Component[Heat](w, "heat", ecs.Transient)
	ecs.Component[Label](w, "label")
	ecs.Resource[Ledger](w, "ledger")
	ecs.Resource[Scratch](w, "scratch", ecs.Transient)
	ecs.Event[Noise](w, "noise")
	ecs.Outgoing[Letter](w, "letter")
	ecs.Handle[Push](w, "push", push, ecs.Sampled)
	ecs.Handle[Poke](w, "poke", poke)
	ecs.Handle[Quake](w, "quake", quake)
	ecs.Handle[ecs.Join](w, "wind.join", join)
	ecs.Handle[ecs.Leave](w, "wind.leave", leave)
	ecs.System(w, "glow", glow)
	ecs.System(w, "mess", mess)
	ecs.System(w, "faulty", faulty)
	ecs.System(w, "drift", drift)
	ecs.Init(w, func(_ *ecs.Tick, bs *ecs.Spawner[bodyShape]) {
		for i := range o.Bodies {
			bs.New(bodyShape{Body: Body{X: float64(i)}})
		}
	})
}}
