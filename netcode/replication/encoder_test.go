package replication

import (
	"slices"
	"testing"
)

// TestBlocksAreSharedAmongClients: a state is encoded once per baseline, for any number of clients.
func TestBlocksAreSharedAmongClients(t *testing.T) {
	encoded := func(clients int) (perTick []uint64) {
		s := newSim(t, 3, Config{BudgetBytes: 1 << 20}, 0)
		s.mood(true, 200)
		s.together = true
		for i := range clients {
			s.join(uint64(i + 1))
		}
		for range 40 {
			before := s.enc.Stats().Encoded
			s.step()
			perTick = append(perTick, s.enc.Stats().Encoded-before)
		}
		return perTick
	}
	one, many := encoded(1), encoded(50)
	if !slices.Equal(one, many) {
		t.Fatalf("blocks encoded per tick: %v for one client, %v for 50 at the same baselines", one, many)
	}
}

// TestEncodedAtMostOncePerBaseline counts under loss, where clients stand on many baselines.
func TestEncodedAtMostOncePerBaseline(t *testing.T) {
	s := newSim(t, 4, Config{BudgetBytes: 1 << 20}, 20)
	s.weather = weather{loss: 0.3, delay: 5}
	s.mood(true, 200)
	for range 60 {
		before := s.enc.Stats()
		s.step()
		after, most := s.enc.Stats(), uint64(0)
		for _, c := range s.enc.plane.cells {
			if c == nil {
				continue
			}
			for i := range c.segs {
				bases := map[uint64]bool{}
				for _, b := range c.segs[i].blocks {
					if bases[b.base] {
						t.Fatalf("tick %d: cell %+v is encoded twice against %d", s.w.Tick(), c.key, b.base)
					}
					bases[b.base] = true
				}
				if len(bases) > s.enc.cfg.HistoryTicks+2 {
					t.Fatalf("%d baselines with a history of %d ticks", len(bases), s.enc.cfg.HistoryTicks)
				}
				most += uint64(len(bases))
			}
		}
		if got := after.Encoded - before.Encoded; got > most {
			t.Fatalf("tick %d: %d blocks encoded, at most %d cells × baselines", s.w.Tick(), got, most)
		}
		if s.w.Tick() > 20 && after.Blocks-before.Blocks <= after.Encoded-before.Encoded {
			t.Fatalf("tick %d: %d blocks sent, %d encoded: nothing was shared", s.w.Tick(), after.Blocks-before.Blocks, after.Encoded-before.Encoded)
		}
	}
}

// TestBudgetIsKept: no tick exceeds the budget, and no cell waits forever.
func TestBudgetIsKept(t *testing.T) {
	const budget = 250
	s := newSim(t, 5, Config{CellMetres: 20, RadiusMetres: 100, BudgetBytes: budget}, 3)
	s.weather = weather{loss: 0.1, delay: 3}
	s.mood(true, 500)
	for range 200 {
		s.step()
		for session, n := range s.bytes {
			if n > budget {
				t.Fatalf("tick %d, session %d: %d bytes with a budget of %d", s.w.Tick(), session, n, budget)
			}
		}
		for _, c := range s.enc.clients {
			for i := range c.subs {
				for _, st := range c.subs[i].segs {
					if c.subs[i].cell != nil && st.due != 0 && s.w.Tick()-st.due > 60 {
						t.Fatalf("tick %d: a block has been waiting since tick %d", s.w.Tick(), st.due)
					}
				}
			}
		}
	}
	if s.enc.Stats().Deferred == 0 {
		t.Fatal("the budget was never exceeded: this test shows nothing")
	}
}

// TestNothingIsSentTwiceWhileUnderWay: an unchanged segment waits for its acknowledgement.
func TestNothingIsSentTwiceWhileUnderWay(t *testing.T) {
	s := newSim(t, 16, Config{BudgetBytes: 1 << 20}, 0)
	s.mood(true, 200)
	s.step()
	s.mood(false, 200)
	s.weather = weather{delay: 3}
	s.join(1)
	versions := map[segKey]int{}
	s.tap = func(b []byte) {
		blocks, _ := blocksOf(t, b)
		for _, k := range blocks {
			versions[k.segKey]++
		}
	}
	for range 20 {
		s.step()
	}
	if len(versions) == 0 {
		t.Fatal("nothing was sent")
	}
	for k, n := range versions {
		if n > 2 {
			t.Errorf("segment %+v, which did not change, was sent %d times", k, n)
		}
	}
}

// TestClientsLeaveNothing: after all clients have left, no cell keeps states.
func TestClientsLeaveNothing(t *testing.T) {
	s := newSim(t, 8, Config{}, 5)
	s.mood(true, 200)
	for range 20 {
		s.step()
	}
	for _, c := range s.clients {
		s.enc.Leave(c.session)
	}
	s.enc.Leave(999)
	for _, c := range s.enc.plane.cells {
		if c != nil && (c.seers != 0 || len(c.segs) != 0) {
			t.Fatalf("cell %+v has %d subscribers and %d segments", c.key, c.seers, len(c.segs))
		}
	}
	s.clients = nil
	s.mood(false, 0)
	if s.enc.Stats().Clients != 0 {
		t.Fatal("clients remain")
	}
}

// TestHistoryIsBounded: no segment keeps more states than the history has ticks.
func TestHistoryIsBounded(t *testing.T) {
	s := newSim(t, 9, Config{HistoryTicks: 10}, 3)
	s.weather = weather{loss: 1} // nobody ever acknowledges
	s.mood(true, 200)
	for range 60 {
		s.step()
	}
	for _, c := range s.enc.plane.cells {
		for i := range c.segs {
			if n := len(c.segs[i].history); n > 12 {
				t.Fatalf("cell %+v has %d states with a history of 10 ticks", c.key, n)
			}
		}
	}
}

// TestAreaFollowsWithHysteresis: a view that walks back and forth across a cell's border does not move the area.
func TestAreaFollowsWithHysteresis(t *testing.T) {
	s := newSim(t, 10, Config{CellMetres: 10, HysteresisMetres: 3}, 1)
	c := s.enc.clients[1]
	for _, step := range []struct {
		v      float64
		middle int32
	}{{5, 0}, {12.9, 0}, {8, 0}, {-2.9, 0}, {13.1, 1}, {8, 1}, {6.9, 0}, {-3.1, -1}, {55, 5}} {
		c.area.x = s.enc.drag(c.area.x, int32(floorDiv(step.v, 10)), step.v)
		if c.area.x != step.middle {
			t.Fatalf("at %v metres the middle is %d, want %d", step.v, c.area.x, step.middle)
		}
	}
}

func floorDiv(v, n float64) float64 {
	q := int(v / n)
	if v < 0 && float64(q)*n != v {
		q--
	}
	return float64(q)
}
