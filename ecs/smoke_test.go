package ecs

import (
	"math"
	"testing"
)

type tA struct {
	X float64
	B bool
}
type tB struct {
	X, Y float32
	Z    uint8
	W    uint16
}
type tC struct {
	To Entity
	N  [3]uint8
}
type tT struct{}
type tTr struct{ V uint32 }
type tR struct {
	N    uint64
	Last Entity
}
type tABCT struct {
	tA
	tB
	tC
	tT
	tTr
}
type tAB struct {
	tA
	tB
}
type tOne struct{ C tC }

func chaos(t *Tick, q *Query[struct{ Self Entity }], ab *Spawner[tAB], abct *Spawner[tABCT], one *Spawner[tOne],
	ca *Comp[tA], cb *Comp[tB], cc *Comp[tC], ct *Comp[tT], tr *Comp[tTr], res *Res[tR]) {
	r := t.Rand(Entity{})
	var last Entity
	for v := range q.Each {
		k := t.Rand(v.Self)
		switch k.IntN(40) {
		case 0:
			t.Despawn(v.Self)
		case 1:
			t.Despawn(v.Self)
			last = one.New(tOne{tC{v.Self, [3]uint8{1}}})
		case 2:
			ca.Set(v.Self, tA{k.Float64(), k.IntN(2) == 0})
		case 3:
			ca.Remove(v.Self)
		case 4:
			cb.Set(v.Self, tB{1, 2, 3, uint16(k.IntN(9))})
		case 5:
			cb.Remove(v.Self)
			cb.Set(v.Self, tB{Z: 7})
		case 6:
			ct.Set(v.Self, tT{})
		case 7:
			ct.Remove(v.Self)
		case 8:
			cc.Set(v.Self, tC{To: last})
		case 10:
			t.Despawn(ab.New(tAB{tA: tA{X: 5}}))
		case 11:
			if a := ca.Get(v.Self); a != nil {
				a.X = math.NaN()
			}
		case 12:
			if c := tr.Get(v.Self); c != nil {
				c.V++
			}
		case 13:
			if b := cb.Get(v.Self); b != nil {
				b.W++
			}
		}
	}
	for range r.IntN(1 + max(0, 60-q.Count())) {
		switch r.IntN(3) {
		case 0:
			ab.New(tAB{tA: tA{r.Float64(), true}})
		case 1:
			abct.New(tABCT{tA: tA{X: 1}})
		case 2:
			one.New(tOne{tC{To: last}})
		}
	}
	res.Get().N += uint64(q.Count())
	if r.IntN(7) == 0 {
		t.Despawn(last)
		panic("bug")
	}
}

func TestSmoke(t *testing.T) {
	g := Game{Name: "chaos", TickRate: 30, Setup: func(w *World) {
		Component[tA](w, "a")
		Component[tB](w, "b")
		Component[tC](w, "c")
		Component[tT](w, "t")
		Component[tTr](w, "tr", Transient)
		Resource[tR](w, "r")
		System(w, "chaos", chaos)
	}}
	a, err := New(g, Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := New(g, Config{Seed: 1})
	var ws []*World
	for tick := range 3000 {
		if tick%97 == 50 {
			w, err := Restore(g, a.AppendSnapshot(nil))
			if err != nil {
				t.Fatal(tick, err)
			}
			ws = append(ws[max(0, len(ws)-2):], w)
		}
		fr := Frame{Tick: a.Tick() + 1}
		if tick%50 == 3 {
			fr.Commands = append(fr.Commands, NewCommand(a, Source{SourceClient, uint64(tick)}, 1, Join{Identity: NewText64("bob")}))
		}
		if tick%50 == 40 {
			fr.Commands = append(fr.Commands, NewCommand(a, Source{SourceClient, uint64(tick - 37)}, 2, Leave{}))
		}
		o := a.Step(fr)
		for _, f := range o.Failures {
			if f.Reason != "panic: bug" {
				t.Fatal(f)
			}
		}
		if o.Checksum != a.Recompute() {
			t.Fatal(tick, "incremental")
		}
		d := string(o.Delta.AppendTo(nil))
		if err := f.Apply([]byte(d)); err != nil {
			t.Fatal(tick, err)
		}
		for i, w := range ws {
			if string(w.Step(fr).Delta.AppendTo(nil)) != d {
				t.Fatal(tick, i, "future")
			}
		}
		if tick%50 == 0 && string(f.AppendSnapshot(nil)) != string(a.AppendSnapshot(nil)) {
			t.Fatal(tick, "snapshots")
		}
	}
	t.Log(a.Len(), len(a.Tables()))
}
