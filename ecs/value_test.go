package ecs_test

import (
	"math"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

func TestTextIsCutAtACharacter(t *testing.T) {
	for given, want := range map[string]string{
		"":                     "",
		"sixteen bytes ok":     "sixteen bytes ok",
		"seventeen bytes!!":    "seventeen bytes!",
		"fifteen bytes +é":     "fifteen bytes +",
		"bad \xff byte":        "bad \uFFFD byte",
		strings.Repeat("é", 9): strings.Repeat("é", 8),
	} {
		if got := ecs.NewText16(given); got.String() != want || got.Len() != len(want) {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
	same, again := ecs.NewText32("same"), ecs.NewText32("same")
	if same != again || ecs.NewText64("a") == ecs.NewText64("b") {
		t.Error("texts do not compare as their strings")
	}
}

func TestValuesArePackedWithoutPadding(t *testing.T) {
	b := ecs.PackValue(nil, Shape{W: 1, H: 2, Sides: 3, Color: 0x0504})
	if want := "\x00\x00\x80\x3f\x00\x00\x00\x40\x03\x04\x05"; string(b) != want {
		t.Errorf("packed %x, want %x", b, want)
	}
	v, err := ecs.UnpackValue[Shape](b)
	if err != nil || v != (Shape{1, 2, 3, 0x0504}) {
		t.Errorf("unpacked %+v, %v", v, err)
	}
	if _, err := ecs.UnpackValue[Shape](b[1:]); err == nil {
		t.Error("too few bytes were unpacked")
	}
	if _, err := ecs.UnpackValue[Push](append(make([]byte, 8), 2)); err == nil {
		t.Error("a bool of 2 was unpacked")
	}
	bad := make([]byte, 1+17)
	bad[1] = 17
	if _, err := ecs.UnpackValue[Poke](bad); err == nil {
		t.Error("a text longer than itself was unpacked")
	}
	defer func() {
		if recover() == nil {
			t.Error("a pointer was packed")
		}
	}()
	ecs.PackValue(nil, struct{ P *int }{})
}

func TestFormatNeedsNoCode(t *testing.T) {
	s, err := ecs.SchemaOf(chaos, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	format := func(list []ecs.Type, name string, packed []byte) string {
		for i := range list {
			if list[i].Name == name {
				return list[i].Format(packed)
			}
		}
		return "none"
	}
	for _, c := range []struct{ got, want string }{
		{format(s.Components, "body", ecs.PackValue(nil, Body{1.5, true})), "{x:1.5 hidden:true}"},
		{format(s.Components, "body", ecs.PackValue(nil, Body{math.Inf(-1), false})), "{x:-Inf hidden:false}"},
		{format(s.Components, "bond", ecs.PackValue(nil, Bond{ecs.EntityFrom(7, 2), [3]uint8{1, 2, 3}})), "{to:7.2 knot:[1 2 3]}"},
		{format(s.Components, "label", ecs.PackValue(nil, Label{Name: ecs.NewText16("a\n")})), `{name:"a\n" marks[0].From:0 marks[0].To:0 marks[1].From:0 marks[1].To:0}`},
		{format(s.Commands, "quake", ecs.PackValue(nil, Quake{-3})), "{strength:-3}"},
		{format(s.Commands, "quake", []byte{1}), "{1 bytes, want 4: 01}"},
	} {
		if c.got != c.want {
			t.Errorf("formatted %s, want %s", c.got, c.want)
		}
	}
}

func TestRandIsKeyed(t *testing.T) {
	type draws struct{ A, B, C, D uint64 }
	draw := func(seed uint64, name string) (seen [3]draws) {
		g := ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) {
			ecs.Resource[draws](w, "draws")
			ecs.System(w, name, func(t *ecs.Tick, r *ecs.Res[draws]) {
				a, b, c := t.Rand(ecs.EntityFrom(1, 0)), t.Rand(ecs.EntityFrom(1, 0)), t.Rand(ecs.EntityFrom(1, 1))
				*r.Get() = draws{a.Uint64(), b.Uint64(), c.Uint64(), a.Uint64()}
			})
		}}
		w, err := ecs.New(g, ecs.Config{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		for i := range seen {
			step(w)
			seen[i] = ecs.ResourceOf[draws](w)
		}
		return seen
	}
	one := draw(1, "s")
	if d := one[0]; d.A != d.B || d.A == d.C || d.A == d.D {
		t.Errorf("%+v: want the same, another, another", d)
	}
	if one != draw(1, "s") {
		t.Error("the same world draws other numbers")
	}
	for what, other := range map[string][3]draws{"seed": draw(2, "s"), "name": draw(1, "other")} {
		if one[0].A == other[0].A {
			t.Errorf("another %s draws the same numbers", what)
		}
	}
	if one[0].A == one[1].A {
		t.Error("another tick draws the same numbers")
	}
}

func TestRandStaysInRange(t *testing.T) {
	g := ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) {
		ecs.System(w, "draw", func(tick *ecs.Tick) {
			r := tick.Rand(ecs.Entity{})
			var sum float64
			counts := [7]int{}
			for range 7000 {
				if f := r.Float64(); f < 0 || f >= 1 {
					t.Errorf("Float64 is %v", f)
				}
				if v := r.Range(-2, 3); v < -2 || v >= 3 {
					t.Errorf("Range is %v", v)
				} else {
					sum += v
				}
				counts[r.IntN(7)]++
			}
			if mean := sum / 7000; math.Abs(mean-0.5) > 0.1 {
				t.Errorf("the mean is %v", mean)
			}
			for i, n := range counts {
				if n < 800 || n > 1200 {
					t.Errorf("%d came %d times of 7000", i, n)
				}
			}
			if v := r.Range(1, math.Nextafter(1, 2)); v != 1 {
				t.Errorf("a range of one number gives %v", v)
			}
			if r.Range(2, 1) != 2 || r.Range(1, math.NaN()) != 1 {
				t.Error("an empty range does not give its beginning")
			}
		})
	}}
	w, err := ecs.New(g, ecs.Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if o := step(w); len(o.Failures) > 0 {
		t.Error(o.Failures)
	}
}
