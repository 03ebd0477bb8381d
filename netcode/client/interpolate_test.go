package client

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var origin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func after(seconds float64) time.Time {
	return origin.Add(time.Duration(seconds * float64(time.Second)))
}

// TestThePictureIsAsFarBehindAsTheJitterNeeds: nearly always there is an update to interpolate to, and without jitter the picture is not
// later than it must be. Time never goes back.
func TestThePictureIsAsFarBehindAsTheJitterNeeds(t *testing.T) {
	for _, jitter := range []float64{0, 0.025, 0.1} {
		p := playback{rate: 30}
		rng := rand.New(rand.NewPCG(1, 2))
		short, last, behind := 0, -10.0, 0.0
		const ticks = 3000
		for tick := 1; tick <= ticks; tick++ {
			sent := float64(tick) / 30
			if rng.Float64() >= 0.05 { // the others are lost
				p.arrived(uint64(tick), after(sent+0.06+jitter*rng.Float64()))
			}
			for frame := range 2 {
				at := p.now(after(sent + 0.06 + jitter + float64(frame)/60))
				if at < last {
					t.Fatalf("jitter %v: tick %v comes after %v", jitter, at, last)
				}
				if last = at; tick > 100 {
					behind += (float64(p.newest) - at) / (2 * (ticks - 100))
					if at > float64(p.newest) {
						short++
					}
				}
			}
		}
		if most := 2.5 + jitter*30*2; behind > most || short > ticks/100 {
			t.Errorf("jitter %v: the picture is %.2f ticks behind the newest update, at most %.2f is wanted; it was ahead of it %d times", jitter, behind, most, short)
		}
	}
}

// TestPlaybackFollowsALeap: after a long silence the picture is not minutes behind.
func TestPlaybackFollowsALeap(t *testing.T) {
	p := playback{rate: 30}
	p.arrived(10, after(0))
	p.arrived(4000, after(1))
	if at := p.now(after(1)); at < 3990 || at > 4000 {
		t.Errorf("after the leap the picture is at tick %v", at)
	}
	p.arrived(3999, after(1.01)) // late
	if p.newest != 4000 {
		t.Error("a late update is the newest")
	}
}

// TestWhatIsDrawnNeverJumps draws a walker whose updates get lost, or arrive late, at sixty frames a second.
func TestWhatIsDrawnNeverJumps(t *testing.T) {
	const speed = 0.25 // metres per tick
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		walker, r := [2]float64{}, &track{}
		angle, pause := 0.0, 0
		var was [2]float64
		newest := uint64(0)
		for tick := uint64(1); tick < 400; tick++ {
			if pause--; pause < -30 && rng.IntN(20) == 0 {
				pause = rng.IntN(30)
			}
			if angle += rng.Float64() - 0.5; pause < 0 {
				walker[0] += speed * math.Cos(angle)
				walker[1] += speed * math.Sin(angle)
			}
			now, shown := after(float64(tick)/30), float64(tick)-3
			if rng.Float64() >= 0.1 {
				r.add(point{tick, tick, walker[0], walker[1]}, math.Max(shown, 1), 30, now)
				newest = tick
			}
			if r.n == 0 {
				continue
			}
			for frame := range 2 {
				x, y := r.where(math.Max(shown+float64(frame)/2, 1), 30)
				dx, dy := r.shown.left(now.Add(time.Duration(frame) * time.Second / 60))
				at := [2]float64{x + dx, y + dy}
				if d := math.Hypot(at[0]-was[0], at[1]-was[1]); newest > 1 && tick > 10 && d > 2*speed {
					t.Fatalf("seed %d, tick %d: it moves %.2f m within a frame", seed, tick, d)
				}
				was = at
			}
		}
	}
}

// TestAnEntityWithoutUpdatesStops: it goes on as it did for a quarter of a second, unless it is known to stand.
func TestAnEntityWithoutUpdatesStops(t *testing.T) {
	r := &track{}
	for tick := uint64(1); tick <= 10; tick++ {
		r.add(point{tick, tick, float64(tick) / 4, 0}, 1, 30, origin)
	}
	for tick, want := range map[float64]float64{9.5: 9.5 / 4, 10: 2.5, 12: 3, 17.5: 2.5 + 7.5/4, 40: 2.5 + 7.5/4} {
		if x, _ := r.where(tick, 30); math.Abs(x-want) > 1e-9 {
			t.Errorf("at tick %v it is at %v, want %v", tick, x, want)
		}
	}
	r.add(point{12, 12, 2.5, 0}, 1, 30, origin)
	if x, _ := r.where(14, 30); x != 2.5 {
		t.Errorf("it is known to stand, and is drawn at %v", x)
	}
	r.add(point{41, 41, 2.75, 0}, 1, 30, origin)
	if x, _ := r.where(40.5, 30); x != 2.625 {
		t.Errorf("half a tick after it went on, it is drawn at %v", x)
	}
	if x, _ := r.where(39, 30); x != 2.5 {
		t.Errorf("a step later changes where it stood: %v", x)
	}
	r.add(point{42, 42, 60, 0}, 41, 30, origin)
	if x, _ := r.where(41.9, 30); x != 2.75 {
		t.Errorf("it is drawn on its way at %v, though it jumped", x)
	}
}

// TestACorrectionVanishes: half of it in smoothFor, and no jump is smoothed.
func TestACorrectionVanishes(t *testing.T) {
	var o offset
	o.add(1, -2, origin)
	if x, y := o.left(origin.Add(smoothFor)); math.Abs(x-0.5) > 1e-9 || math.Abs(y+1) > 1e-9 {
		t.Errorf("after %v (%v, %v) are left", smoothFor, x, y)
	}
	o.add(0.5, 0, origin.Add(smoothFor))
	if x, _ := o.left(origin.Add(smoothFor)); math.Abs(x-1) > 1e-9 {
		t.Errorf("a second one makes it %v", x)
	}
	if x, y := o.left(origin.Add(2 * time.Second)); x != 0 || y != 0 {
		t.Errorf("after two seconds (%v, %v) are left", x, y)
	}
	if o.add(jumpMetres, 1, origin); o != (offset{at: origin}) {
		t.Errorf("a jump leaves %+v", o)
	}
}
