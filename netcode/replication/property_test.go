package replication

import (
	"os"
	"testing"
)

// seeds returns n seeds, ten times as many with WIND_LONG=1, or only the one given by -replication.seed.
func seeds(n int) []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	if os.Getenv("WIND_LONG") != "" {
		n *= 10
	}
	var all []uint64
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

var storms = []struct {
	name string
	w    weather
}{
	{"calm", weather{}},
	{"late", weather{delay: 6}},
	{"lossy", weather{loss: 0.3, double: 0.1, delay: 4}},
	{"storm", weather{loss: 0.8, double: 0.5, delay: 12}},
}

var configs = []struct {
	name string
	c    Config
}{
	{"default", Config{}},
	{"small cells", Config{CellMetres: 10, RadiusMetres: 50, HysteresisMetres: 1}},
	{"crowded cells", Config{CellMetres: 200, RadiusMetres: 200, PacketBytes: 256, HistoryTicks: 16, BudgetBytes: 1 << 20}},
	{"tight", Config{BudgetBytes: tightBytes, PacketBytes: 300}},
}

// TestMirrorBecomesTheVisibleWorld: whatever the network did before, once packets and acknowledgements
// arrive, every client's mirror equals the quantised world in its area at every tick and contains nothing else.
func TestMirrorBecomesTheVisibleWorld(t *testing.T) {
	for _, cfg := range configs {
		for _, storm := range storms {
			t.Run(cfg.name+"/"+storm.name, func(t *testing.T) {
				for _, seed := range seeds(1) {
					t.Logf("seed %d", seed)
					converge(t, seed, cfg.c, storm.w)
				}
			})
		}
	}
}

func converge(t *testing.T, seed uint64, cfg Config, storm weather) {
	s := newSim(t, seed, cfg, 4)
	s.weather = storm
	s.mood(true, 300)
	for range 2 {
		for range 60 {
			s.step()
			for _, c := range s.clients {
				c.mirror.hold(t)
			}
		}
		s.mood(false, 0) // the world stands still, the storm continues
		for range 10 {
			s.step()
		}
		s.weather = weather{}
		s.settle(600)
		for _, c := range s.clients {
			s.check(c)
		}
		if cfg.BudgetBytes != tightBytes { // and it stays so at every tick while everything moves
			s.mood(true, 300)
			for range 30 {
				s.step()
			}
			for range 10 {
				s.step()
				for _, c := range s.clients {
					s.check(c)
				}
			}
		} else {
			s.mood(true, 300)
		}
		s.weather = storm
	}
}

// settle steps until no client misses anything.
func (s *sim) settle(most int) {
	s.t.Helper()
	for range most {
		s.step()
		if s.settled() {
			return
		}
	}
	s.t.Fatalf("clients still miss something after %d calm ticks", most)
}

func (s *sim) settled() bool {
	for _, c := range s.enc.clients {
		for i := range c.subs {
			if sub := &c.subs[i]; sub.cell != nil && sub.settled != sub.cell.changed {
				return false
			}
		}
	}
	return true
}

// tightBytes is a budget that a moving world exceeds at every tick.
const tightBytes = 300

// hold checks an invariant of every mirror: it shows an entity in the segment with its newest state.
func (m *Mirror) hold(t testing.TB) {
	t.Helper()
	newest := map[uint64]*mirrorSegment{}
	for _, c := range m.cells {
		for _, d := range []*division{c.cur, c.next} {
			if d == nil {
				continue
			}
			for _, s := range d.segments {
				if s.current() == nil {
					continue
				}
				for _, e := range s.current().ents {
					if o := newest[e.key]; o == nil || o.current().version < s.current().version {
						newest[e.key] = s
					}
				}
			}
		}
	}
	for key, s := range newest {
		if m.where[key] != s {
			t.Fatalf("entity %v is not shown at version %d", entityOf(key), s.current().version)
		}
	}
	if len(newest) != len(m.where) {
		t.Fatalf("%d entities are shown, %d exist", len(m.where), len(newest))
	}
}
