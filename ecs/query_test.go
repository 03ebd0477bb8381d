package ecs_test

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
)

type (
	c1 struct{ N int64 }
	c2 struct{ N int32 }
	c3 struct{ N int16 }
	c4 struct{ A, B float64 }
	c5 struct{}
)

// zoo has 300 entities in several tables: the i-th has c1, and c2…c5 if i is a multiple of 2…5.
func zoo(t *testing.T, systems func(w *ecs.World)) ecs.Output {
	g := ecs.Game{Name: "zoo", TickRate: 1, Setup: func(w *ecs.World) {
		ecs.Component[c1](w, "c1")
		ecs.Component[c2](w, "c2")
		ecs.Component[c3](w, "c3")
		ecs.Component[c4](w, "c4")
		ecs.Component[c5](w, "c5")
		type b1 struct{ c1 }
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[b1], p2 *ecs.Comp[c2], p3 *ecs.Comp[c3], p4 *ecs.Comp[c4], p5 *ecs.Comp[c5]) {
			for i := range 300 {
				e := s.New(b1{c1{int64(i)}})
				if i%2 == 0 {
					p2.Set(e, c2{int32(i)})
				}
				if i%3 == 0 {
					p3.Set(e, c3{int16(i)})
				}
				if i%4 == 0 {
					p4.Set(e, c4{float64(i), 1})
				}
				if i%5 == 0 {
					p5.Set(e, c5{})
				}
			}
		})
		systems(w)
	}}
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	o := step(w)
	for _, f := range o.Failures {
		t.Error(f)
	}
	if o.Checksum != w.Recompute() {
		t.Error("change detection missed a write")
	}
	return o
}

func TestAQueryYieldsWhatMatches(t *testing.T) {
	zoo(t, func(w *ecs.World) {
		ecs.System(w, "look", func(_ *ecs.Tick,
			one *ecs.Query[struct{ A *c1 }],
			selves *ecs.Query[struct {
				Self ecs.Entity
				A    *c1
				B    *c2
			}],
			last *ecs.Query[struct {
				D    *c4
				C    *c3
				A    *c1
				B    *c2
				Tag  *c5
				Self ecs.Entity
			}],
			filtered *ecs.Query[struct {
				_ ecs.With[c2]
				A *c1
				_ ecs.Without[c3]
			}],
			optional *ecs.Query[struct {
				B *c2 `ecs:"optional"`
				A *c1
				C *c3 `ecs:"optional,read"`
			}],
			everyone *ecs.Query[struct{ Self ecs.Entity }],
			nobody *ecs.Query[struct {
				A *c1
				_ ecs.Without[c1]
			}],
		) {
			seen := map[int64]bool{}
			for v := range one.Each {
				seen[v.A.N] = true
			}
			if len(seen) != 300 || one.Count() != 300 || everyone.Count() != 300 || nobody.Count() != 0 {
				t.Errorf("%d, %d, %d, %d of 300", len(seen), one.Count(), everyone.Count(), nobody.Count())
			}
			n := 0
			for v := range selves.Each {
				if got, ok := selves.Get(v.Self); !ok || got != v || int64(v.B.N) != v.A.N || v.A.N%2 != 0 {
					t.Errorf("%+v, %v", v, got)
				}
				n++
			}
			if n != 150 {
				t.Errorf("%d of 150", n)
			}
			n = 0
			for v := range last.Each {
				if v.A.N%60 != 0 || int64(v.B.N) != v.A.N || int64(v.C.N) != v.A.N || int64(v.D.A) != v.A.N || v.Tag == nil || v.Self.IsZero() {
					t.Errorf("%+v", v)
				}
				n++
			}
			if n != 5 {
				t.Errorf("%d of 5", n)
			}
			for v := range filtered.Each {
				if v.A.N%2 != 0 || v.A.N%3 == 0 {
					t.Errorf("%d is yielded", v.A.N)
				}
			}
			if filtered.Count() != 100 {
				t.Errorf("%d of 100", filtered.Count())
			}
			for v := range optional.Each {
				if (v.B != nil) != (v.A.N%2 == 0) || (v.C != nil) != (v.A.N%3 == 0) || v.B != nil && int64(v.B.N) != v.A.N {
					t.Errorf("%d: %v %v", v.A.N, v.B, v.C)
				}
			}
			if _, ok := filtered.Get(ecs.EntityFrom(9999, 0)); ok {
				t.Error("Get returned an entity that never existed")
			}
		})
	})
}

func TestColumnsAreRowByRowAlike(t *testing.T) {
	zoo(t, func(w *ecs.World) {
		ecs.System(w, "look", func(_ *ecs.Tick, q *ecs.Query[struct {
			Self []ecs.Entity
			A    []c1
			B    []c2
			C    []c3 `ecs:"optional"`
			Tag  []c5 `ecs:"optional"`
		}], one *ecs.Comp[c1],
		) {
			n := 0
			for v := range q.Each {
				if len(v.A) != len(v.B) || len(v.A) != len(v.Self) || cap(v.A) != len(v.A) || v.C != nil && len(v.C) != len(v.A) {
					t.Errorf("lengths %d %d %d %d", len(v.Self), len(v.A), len(v.B), len(v.C))
				}
				for i, e := range v.Self {
					if one.Get(e) != &v.A[i] || int64(v.B[i].N) != v.A[i].N || v.C != nil && int64(v.C[i].N) != v.A[i].N {
						t.Errorf("row %d of %v", i, e)
					}
					if (v.C != nil) != (v.A[i].N%3 == 0) || (v.Tag != nil) != (v.A[i].N%5 == 0) {
						t.Errorf("%d: %v, %v", v.A[i].N, v.C != nil, v.Tag != nil)
					}
					v.A[i].N, v.B[i].N = v.A[i].N+1000, v.B[i].N+1000
					n++
				}
			}
			if n != 150 {
				t.Errorf("%d of 150", n)
			}
			if _, ok := q.Get(ecs.EntityFrom(1, 0)); ok {
				t.Error("Get returned a view of columns")
			}
		})
	})
}

func TestLoopsNestAndBreak(t *testing.T) {
	zoo(t, func(w *ecs.World) {
		ecs.System(w, "look", func(_ *ecs.Tick, q *ecs.Query[struct{ A *c1 }]) {
			pairs := 0
			for a := range q.Each {
				for b := range q.Each { // the same query, nested
					if a.A.N+b.A.N == 298 {
						pairs++
					}
				}
				for range q.Each {
					break
				}
			}
			if pairs != 299 {
				t.Errorf("%d pairs of 299", pairs)
			}
			first := func() *c1 {
				for a := range q.Each {
					return a.A
				}
				return nil
			}
			if a, b := first(), first(); a != b || a == nil {
				t.Error("no first")
			}
		})
	})
}

func TestWhatIsWrittenIsSeen(t *testing.T) {
	o := zoo(t, func(w *ecs.World) {
		ecs.System(w, "write", func(tick *ecs.Tick, q *ecs.Query[struct {
			A *c1
			B *c2
			D *c4
		}],
		) {
			for v := range q.Each {
				v.A.N, v.B.N, v.D.B = -v.A.N, -v.B.N, -v.D.B
			}
		})
	})
	if got := fmt.Sprint(o.Delta.Changed(0), o.Delta.Changed(1), o.Delta.Changed(2), o.Delta.Changed(3), o.Delta.Changed(4)); got != "299 149 99 75 0" {
		t.Errorf("%s values changed", got) // those of entity 0 are still zero, tags have no values
	}
}
