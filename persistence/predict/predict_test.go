package predict

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// A game with every kind of number, in which things move, turn, appear and disappear.
type (
	place struct{ X, Y float64 }
	pace  struct{ X, Y float64 }
	shot  struct{ X, Y, VX, VY float32 }
	state struct {
		Name  ecs.Text16
		Owner ecs.Entity
		Small [3]int16
		Byte  uint8
		On    bool
		Count int64
		Odd   float32
	}
	mark  struct{}
	flag  struct{ V uint8 }
	total struct{ N, Gone uint64 }
	steer struct{ X, Y int8 }

	walker struct {
		place
		pace
		state
	}
)

var game = ecs.Game{Name: "all-kinds", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[place](w, "place")
	ecs.Component[pace](w, "pace")
	ecs.Component[shot](w, "shot")
	ecs.Component[state](w, "state")
	ecs.Component[mark](w, "mark")
	ecs.Component[flag](w, "flag")
	ecs.Resource[total](w, "total")
	ecs.Handle[ecs.Join](w, "wind.join", func(*ecs.Tick, *ecs.Cmd[ecs.Join]) {})
	ecs.Handle[steer](w, "steer", func(*ecs.Tick, *ecs.Cmd[steer]) {}, ecs.Sampled)
	ecs.System(w, "spawn", func(t *ecs.Tick, q *ecs.Query[struct {
		S *state `ecs:"read"`
	}], s *ecs.Spawner[walker], shots *ecs.Spawner[struct{ shot }], sum *ecs.Res[total],
	) {
		r := t.Rand(ecs.Entity{})
		for n := q.Count(); n < 120; n++ {
			s.New(walker{place{r.Range(-9, 9), r.Range(-1e6, 1e6)}, pace{r.Range(-1, 1), r.Range(-1, 1)}, state{Name: ecs.NewText16("walker")}})
			sum.Get().N++
		}
		shots.New(struct{ shot }{shot{float32(r.Range(-5, 5)), 0, 0.25, float32(r.Range(-1, 1))}})
	})
	ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[struct {
		E ecs.Entity
		P *place
		V *pace
		S *state
	}], marks *ecs.Comp[mark], flags *ecs.Comp[flag], sum *ecs.Res[total],
	) {
		for m := range q.Each {
			r := t.Rand(m.E)
			if r.IntN(8) == 0 {
				m.V.X, m.V.Y = r.Range(-1, 1), r.Range(-1, 1)
			}
			m.P.X += m.V.X
			m.P.Y += m.V.Y
			switch r.IntN(40) {
			case 0:
				t.Despawn(m.E)
				sum.Get().Gone++
			case 1, 2, 3:
				if marks.Has(m.E) {
					marks.Remove(m.E)
				} else {
					marks.Set(m.E, mark{})
				}
			case 4, 5:
				flags.Set(m.E, flag{uint8(r.IntN(256))})
			case 6:
				m.S.Owner, m.S.Count, m.S.Odd = m.E, m.S.Count-3, float32(math.Inf(1))
				m.S.Small[1]--
			case 7:
				m.P.X = []float64{math.NaN(), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat64}[r.IntN(5)]
			case 8:
				m.S.Name, m.S.On, m.S.Byte = ecs.NewText16("other"), !m.S.On, m.S.Byte+1
			}
		}
	})
	ecs.System(w, "fly", func(t *ecs.Tick, q *ecs.Query[struct {
		E ecs.Entity
		S *shot
	}],
	) {
		for m := range q.Each {
			m.S.X += m.S.VX
			m.S.Y += m.S.VY
			if r := t.Rand(m.E); r.IntN(60) == 0 {
				t.Despawn(m.E)
			}
		}
	})
}}

// bodies returns the bodies of some ticks.
func bodies(t testing.TB, seed uint64, ticks int) (*Layout, [][]byte) {
	t.Helper()
	w, err := ecs.New(game, ecs.Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	var all [][]byte
	for range ticks {
		f := ecs.Frame{Tick: w.Tick() + 1}
		for id := uint64(1); id <= 5; id++ {
			from := ecs.Source{Kind: ecs.SourceClient, ID: id}
			if f.Tick == id {
				f.Commands = append(f.Commands, ecs.NewCommand(w, from, 1, ecs.Join{Identity: ecs.NewText64("x")}))
			} else if f.Tick > id {
				f.Commands = append(f.Commands, ecs.NewCommand(w, from, f.Tick, steer{int8(r.IntN(3)), 7}))
			}
		}
		w.Order(f.Tick, f.Commands)
		all = append(all, w.Step(f).Delta.AppendTo(nil))
	}
	return LayoutOf(w.Schema()), all
}

// heads returns the tick and checksum of a body, which its envelope repeats.
func heads(b []byte) (tick, checksum uint64) {
	tick, n := binary.Uvarint(b)
	return tick, binary.LittleEndian.Uint64(b[n:])
}

func TestBodiesComeBackByteForByte(t *testing.T) {
	for seed := range uint64(4) {
		layout, all := bodies(t, seed, 300)
		var w Writer
		var r Reader
		predicted, sums := 0, 0
		for i, b := range all {
			if i%(20+int(seed)*30) == 0 {
				w.Begin(layout)
				r.Begin()
			}
			tick, checksum := heads(b)
			content := w.Append(nil, b, tick, checksum)
			back, err := r.Append(nil, content, tick, checksum)
			if err != nil || !bytes.Equal(back, b) {
				t.Fatalf("seed %d, tick %d: %d bytes became %d: %v", seed, tick, len(b), len(back), err)
			}
			if len(r.slots) > 0 {
				predicted++
			}
			for _, c := range w.plan.columns {
				if c.sums {
					sums++
				}
			}
		}
		if predicted != len(all) || sums < 100 {
			t.Errorf("seed %d: %d of %d bodies were predicted, %d columns by sums", seed, predicted, len(all), sums)
		}
	}
}

// TestAWriterFindsWhatIsAdded: a walker's place is the sum of its last place and its pace, and a shot contains its own
// pace. After one group the writer has chosen these sums.
func TestAWriterFindsWhatIsAdded(t *testing.T) {
	layout, all := bodies(t, 1, 120)
	var w Writer
	for i, b := range all {
		if i%60 == 0 {
			w.Begin(layout)
		}
		tick, checksum := heads(b)
		w.Append(nil, b, tick, checksum)
	}
	for _, want := range []struct {
		component, word int
		from            source
	}{{0, 0, source{1, 0, 0}}, {0, 1, source{1, 1, 8}}, {2, 0, source{2, 2, 8}}, {2, 1, source{2, 3, 12}}} {
		word := w.plan.columns[want.component].words[want.word]
		if word.how != sum || word.sources[0] != want.from {
			t.Errorf("word %d of component %d: %+v", want.word, want.component, word)
		}
	}
}

// TestWhatIsNoBodyOfTheLayoutIsCarriedAsItIs: a writer loses nothing, whatever its input is.
func TestWhatIsNoBodyOfTheLayoutIsCarriedAsItIs(t *testing.T) {
	layout, all := bodies(t, 2, 40)
	r := rand.New(rand.NewPCG(2, 2))
	var w Writer
	var back Reader
	w.Begin(layout)
	back.Begin()
	as := 0
	for range 3000 {
		b := bytes.Clone(all[r.IntN(len(all))])
		tick, checksum := heads(b)
		switch r.IntN(5) {
		case 0:
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		case 1:
			b = b[:r.IntN(len(b))]
		case 2:
			b = append(b, byte(r.IntN(256)))
		case 3:
			tick++
		}
		content := w.Append(nil, b, tick, checksum)
		got, err := back.Append(nil, content, tick, checksum)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes became %d: %v", len(b), len(got), err)
		}
		if len(content) == len(b)+1 {
			as++
		}
	}
	if as < 500 {
		t.Errorf("only %d were stored unchanged", as)
	}
	w.Begin(nil)
	back.Begin()
	if got, err := back.Append(nil, w.Append(nil, []byte("no delta at all"), 1, 2), 1, 2); err != nil || string(got) != "no delta at all" {
		t.Errorf("without a layout: %q, %v", got, err)
	}
}

// TestAPlanThatIsReadIsKept: a writer that packs unpacked bodies again predicts like the first writer.
func TestAPlanThatIsReadIsKept(t *testing.T) {
	layout, all := bodies(t, 3, 200)
	var first, second Writer
	var r, again Reader
	a, b := 0, 0
	for i, body := range all {
		if i%50 == 0 {
			first.Begin(layout)
			r.Begin()
		}
		tick, checksum := heads(body)
		content := first.Append(nil, body, tick, checksum)
		unpacked, err := r.Append(nil, content, tick, checksum)
		if err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			second.Begin(r.Layout())
			again.Begin()
		}
		other := second.Append(nil, unpacked, tick, checksum)
		if got, err := again.Append(nil, other, tick, checksum); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("tick %d: %v", tick, err)
		}
		a, b = a+len(content), b+len(other)
	}
	if a != b {
		t.Errorf("%d bytes, then %d", a, b)
	}
}

// TestAGroupRemembersWithinItsBound: contents that keep naming new entities cost no more than maxMemory and are read back
// correctly.
func TestAGroupRemembersWithinItsBound(t *testing.T) {
	big := &Layout{columns: []column{{packed: 4096}}}
	for at := 0; at < 4096; at += 8 {
		big.columns[0].words = append(big.columns[0].words, word{at: at, width: 8, how: difference})
	}
	body := func(tick uint64, from, n int) []byte {
		b := appendUvarint(nil, tick)
		b = append(b, make([]byte, 8)...)
		b = append(b, 0, 0, 0, 0, 0) // tables, operations, sessions, resources
		b = appendUvarint(appendUvarint(b, 1), uint64(n))
		for i := range n * 512 {
			b = binary.LittleEndian.AppendUint64(b, uint64(i))
		}
		last := uint32(0)
		for i := range n {
			b = appendUvarint(b, uint64(zigzag32(uint32(from+i)-last)))
			last = uint32(from + i)
		}
		return append(b, 0)
	}
	var w Writer
	var r Reader
	w.Begin(big)
	r.Begin()
	for i := range 6 { // 4,000 new entities of 4 KiB each
		b := body(uint64(i+1), i*4000, 4000)
		got, err := r.Append(nil, w.Append(nil, b, uint64(i+1), 0), uint64(i+1), 0)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("tick %d: %v", i+1, err)
		}
	}
	if n := len(r.memory.columns[0].ids); n != maxMemory/slotBytes(4096) || len(w.memory.columns[0].ids) != n {
		t.Errorf("%d entities are remembered, the writer has %d", n, len(w.memory.columns[0].ids))
	}
}

func TestAPlanIsBounded(t *testing.T) {
	many := []byte{0}
	many = appendUvarint(many, 4000)
	for range 4000 {
		many = append(appendUvarint(many, maxPacked-1), 1, 0, 0)
	}
	for name, plan := range map[string][]byte{
		"words without end": many,
		"a width of 3":      {0, 1, 1, 3, 1, 0},
		"how 4":             {0, 1, 1, 8, 4, 0},
		"two sums at once":  {0, 1, 2, 8, 3, 0, 0},
		"a sum of bytes":    {0, 1, 1, 1, 3, 0, 0},
		"no such source":    {0, 1, 1, 8, 3, 1, 1, 0, 0},
		"a sum of itself":   {0, 1, 1, 8, 3, 1, 0, 0, 0},
		"another width":     {0, 1, 1, 4, 0, 1, 8, 3, 1, 0, 0, 0},
	} {
		var r Reader
		if _, err := r.Append(nil, append(plan, formBody), 1, 1); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	layout, all := bodies(f, 5, 6)
	var w Writer
	w.Begin(layout)
	var seed []byte
	for _, b := range all {
		tick, checksum := heads(b)
		content := w.Append(nil, b, tick, checksum)
		seed = append(appendUvarint(seed, uint64(len(content))), content...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader
		in := &reader{b: b}
		for tick := uint64(1); len(in.b) > 0; tick++ {
			content := in.take(in.count(1))
			if in.err != nil {
				return
			}
			body, err := r.Append(nil, content, tick, 7)
			if err != nil {
				return
			}
			if len(body) > MaxBody || len(body) > 64+40*len(content)+2*len(content)*len(r.plan.columns) {
				t.Fatalf("%d bytes of content became %d", len(content), len(body))
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	layout, all := bodies(f, 6, 8)
	for _, b := range all {
		f.Add(b, all[0])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var w Writer
		var r Reader
		w.Begin(layout)
		for _, body := range [][]byte{a, b, a, a, b} {
			var tick, checksum uint64
			if n := len(body); n > 9 {
				tick, _ = heads(append(bytes.Clone(body), make([]byte, 20)...))
				_, k := binary.Uvarint(body)
				if k > 0 && n >= k+8 {
					checksum = binary.LittleEndian.Uint64(body[k:])
				}
			}
			back, err := r.Append(nil, w.Append(nil, body, tick, checksum), tick, checksum)
			if err != nil || !bytes.Equal(back, body) {
				t.Fatalf("%x became %x: %v", body, back, err)
			}
		}
	})
}

// BenchmarkPredict measures a tick in which 10,000 entities move.
func BenchmarkPredict(b *testing.B) {
	layout := &Layout{columns: []column{
		{packed: 16, words: []word{{at: 0, width: 8, float: true, how: line}, {at: 8, width: 8, float: true, how: line}}},
	}}
	const n = 10_000
	body := func(tick uint64) []byte {
		b := append(appendUvarint(nil, tick), make([]byte, 8)...)
		b = append(b, 0, 0, 0, 0, 0)
		b = appendUvarint(appendUvarint(b, 1), n)
		for i := range n {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(i)+float64(tick)*0.25))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(i)-float64(tick)*0.125))
		}
		for range n {
			b = append(b, 2)
		}
		return append(b, 0)
	}
	var all [][]byte
	for i := range 64 {
		all = append(all, body(uint64(i+1)))
	}
	var w Writer
	var r Reader
	var content, back []byte
	var contents [][]byte
	w.Begin(layout)
	for i, x := range all {
		contents = append(contents, w.Append(nil, x, uint64(i+1), 0))
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%64 == 0 {
				w.Begin(layout)
			}
			content = w.Append(content[:0], all[i%64], uint64(i%64+1), 0)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%64 == 0 {
				r.Begin()
			}
			var err error
			if back, err = r.Append(back[:0], contents[i%64], uint64(i%64+1), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
