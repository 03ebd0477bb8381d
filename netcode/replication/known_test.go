package replication

import (
	"math"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestAMirrorKnowsWhichTickItShows: whatever the network does, an entity's position is that of the tick that Known names. On a good network that is the
// newest, as long as something near it moves.
func TestAMirrorKnowsWhichTickItShows(t *testing.T) {
	for _, weather := range []weather{{}, {loss: 0.05, delay: 3}, {loss: 0.4, double: 0.1, delay: 8}} {
		s := newSim(t, 21, Config{BudgetBytes: 4 << 10}, 2)
		s.weather = weather
		s.mood(true, 120)
		was := map[uint64]map[ecs.Entity]position{}
		note := func() {
			now := map[ecs.Entity]position{}
			for _, table := range s.w.Tables() {
				for _, e := range table.Entities() {
					if p, ok := ecs.Get[position](s.w, e); ok {
						now[e] = p
					}
				}
			}
			was[s.w.Tick()] = now
		}
		note()
		checked, old := 0, 0
		for step := range 600 {
			if step%150 == 100 {
				s.mood(step%300 != 100, 120) // still, and lively again
			} else {
				s.step()
			}
			note()
			for _, c := range s.clients {
				for e := range c.mirror.Each {
					tick, ok := c.mirror.Known(e)
					if !ok || tick > c.mirror.Tick() {
						t.Fatalf("%+v: entity %s is in sight, its tick is %d, %v", weather, e, tick, ok)
					}
					shown, ok := Get[position](c.mirror, e, "position")
					if !ok {
						continue
					}
					if p := was[tick][e]; math.Abs(shown.X-snap(p.X, 0.01, -500, 500)) > near || math.Abs(shown.Y-snap(p.Y, 0.01, -500, 500)) > near {
						t.Fatalf("%+v: at tick %d the mirror shows %s at %+v, says of tick %d, when it was at %+v", weather, s.w.Tick(), e, shown, tick, p)
					}
					if checked++; tick < c.mirror.Tick() {
						old++
					}
				}
			}
		}
		if checked < 1000 || weather.loss == 0 && old > checked*3/4 {
			t.Errorf("%+v: %d positions compared, %d of them of an earlier tick", weather, checked, old)
		}
	}
	if _, ok := newSim(t, 1, Config{}, 1).clients[0].mirror.Known(ecs.EntityFrom(3, 0)); ok {
		t.Error("an entity out of sight is known")
	}
}
