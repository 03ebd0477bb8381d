package projectile

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSweepFindsTheFirstTouch(t *testing.T) {
	for _, c := range []struct {
		name                 string
		x, y, dx, dy, radius float64
		when                 float64
		touched              bool
	}{
		{"head on", -10, 0, 10, 0, 1, 0.9, true},
		{"ends at the border", -10, 0, 9, 0, 1, 1, true},
		{"ends before it", -10, 0, 8.9, 0, 1, 0, false},
		{"flies through", -10, 0, 100, 0, 1, 0.09, true},
		{"grazes", -10, 1, 20, 0, 1, 0.5, true},
		{"passes by", -10, 1.01, 20, 0, 1, 0, false},
		{"flies away", -10, 0, -10, 0, 1, 0, false},
		{"begins inside", 0.5, 0, 10, 0, 1, 0, true},
		{"begins inside and rests", 0.5, 0, 0, 0, 1, 0, true},
		{"rests outside", 2, 0, 0, 0, 1, 0, false},
		{"not a number", math.NaN(), 0, 1, 0, 1, 0, false},
	} {
		when, touched := sweep(c.x, c.y, c.dx, c.dy, 0, 0, c.radius)
		if touched != c.touched || touched && math.Abs(when-c.when) > 1e-12 {
			t.Errorf("%s: touches %v at %v, want %v at %v", c.name, touched, when, c.touched, c.when)
		}
	}
}

func TestSweepAgreesWithSmallSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	hits := 0
	for range 3000 {
		x, y, dx, dy, radius := r.Float64()*20-10, r.Float64()*20-10, r.Float64()*40-20, r.Float64()*40-20, r.Float64()*4
		when, touched := sweep(x, y, dx, dy, 0, 0, radius)
		nearest := math.Inf(1)
		for i := range 2001 {
			f := float64(i) / 2000
			nearest = min(nearest, math.Hypot(x+f*dx, y+f*dy))
		}
		if touched != (nearest <= radius) && math.Abs(nearest-radius) > 1e-3 {
			t.Fatalf("from (%v, %v) by (%v, %v), radius %v: touches %v, small steps come to %v", x, y, dx, dy, radius, touched, nearest)
		}
		if touched && when > 0 {
			hits++
			if d := math.Hypot(x+when*dx, y+when*dy); math.Abs(d-radius) > 1e-9 {
				t.Fatalf("touches at a distance of %v, radius %v", d, radius)
			}
		}
	}
	if hits < 100 {
		t.Errorf("only %d of the random sweeps touch", hits)
	}
}
