package room

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// storm simulates nodes that bid for many rooms at once, with what the contest of load_test.go leaves out: a claim takes time, and
// another node may begin the same room meanwhile, in vain; and what a room takes is known a second later.
type storm struct {
	now     time.Duration
	events  stormEvents
	rng     *rand.Rand
	nodes   []*stormy
	rooms   map[string]*Room
	owner   map[string]*stormy
	each    float64       // milliseconds per second that a room takes
	latency time.Duration // of a claim, on average
	waste   int           // rooms that a node has begun in vain
	last    time.Duration // when the last room was claimed
}

type stormy struct {
	Bidder
	load  *Load
	since map[string]time.Duration // rooms that it bids for, and since when
	began map[string]bool
	opens int
	owns  int
	most  float64 // of its capacity that its rooms took
}

type stormEvent struct {
	at time.Duration
	do func()
}

type stormEvents []stormEvent

func (e stormEvents) Len() int           { return len(e) }
func (e stormEvents) Less(i, j int) bool { return e[i].at < e[j].at }
func (e stormEvents) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *stormEvents) Push(x any)        { *e = append(*e, x.(stormEvent)) }
func (e *stormEvents) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func (s *storm) in(d time.Duration, do func()) { heap.Push(&s.events, stormEvent{s.now + d, do}) }

func (n *stormy) bidder() *Bidder {
	n.Used, n.Next, n.Opening = n.load.Used(), n.load.Next(), n.opens
	return &n.Bidder
}

// look lets a node consider all rooms that nobody owns, as it does every half second.
func (s *storm) look(n *stormy) {
	for id, r := range s.rooms {
		if _, bids := n.since[id]; bids || n.began[id] || s.owner[id] != nil {
			continue
		}
		if after, why := n.bidder().Bid(r); why == "" {
			n.since[id] = s.now
			s.in(after, func() { s.bid(n, r) })
		}
	}
	s.in(500*time.Millisecond, func() { s.look(n) })
}

func (s *storm) bid(n *stormy, r *Room) {
	if s.owner[r.ID] != nil {
		delete(n.since, r.ID)
		return
	}
	more, why := n.bidder().Turn(r, s.now-n.since[r.ID])
	if why == "" && more > 0 {
		s.in(more, func() { s.bid(n, r) })
		return
	}
	if delete(n.since, r.ID); why != "" {
		return
	}
	n.began[r.ID] = true
	n.opens++
	n.load.Begin(r.ID)
	s.in(time.Duration(float64(s.latency)*(0.5+s.rng.Float64())), func() { s.claim(n, r) })
}

func (s *storm) claim(n *stormy, r *Room) {
	n.opens--
	if s.owner[r.ID] != nil {
		s.waste++
		delete(n.began, r.ID)
		n.load.End(r.ID)
		return
	}
	s.owner[r.ID], s.last = n, s.now
	n.owns++
	n.most = max(n.most, float64(n.owns)*s.each/n.Capacity)
	s.in(time.Second, func() { n.load.Measured(r.ID, s.each) })
}

func newStorm(seed uint64, rooms int, each float64, latency time.Duration, names ...string) *storm {
	s := &storm{rng: rand.New(rand.NewPCG(seed, 2)), rooms: map[string]*Room{}, owner: map[string]*stormy{}, each: each, latency: latency}
	for _, r := range wantedRooms(rooms, seed) {
		s.rooms[r.ID] = r
	}
	for _, name := range names {
		n := &stormy{Bidder: Bidder{Node: name, Game: "arena", Capacity: 1400}, load: NewLoad(1400), since: map[string]time.Duration{}, began: map[string]bool{}}
		s.nodes = append(s.nodes, n)
		s.in(0, func() { s.look(n) })
	}
	return s
}

func (s *storm) run(d time.Duration) {
	for s.now < d {
		e := heap.Pop(&s.events).(stormEvent)
		s.now = e.at
		e.do()
	}
}

// TestAThousandSpecsAtOnce: two empty nodes share the rooms, with little work in vain; rooms that are light are all taken within
// seconds, and those that are heavy do not take the nodes far beyond their capacity: what nobody has measured is a guess.
func TestAThousandSpecsAtOnce(t *testing.T) {
	for _, c := range []struct {
		each float64 // ms per second
		all  bool    // they have room
		most float64 // of a node's capacity that its rooms take at any time
	}{
		{0.3, true, 0.3}, {1, true, 0.8}, {5, false, 1.05}, {1400. / firstRooms, false, 1.05}, {60, false, 60 * firstRooms / 1400. * 1.05},
	} {
		for seed := range uint64(3) {
			s := newStorm(seed, 1000, c.each, 100*time.Millisecond, "a", "b")
			s.run(30 * time.Second)
			a, b := s.nodes[0], s.nodes[1]
			if c.all != (len(s.owner) == 1000) || c.all && s.last > 10*time.Second {
				t.Errorf("rooms of %.1f ms: %d of 1,000 were taken, the last one after %v", c.each, len(s.owner), s.last)
			}
			if share := float64(a.owns) / float64(a.owns+b.owns); share < 0.4 || share > 0.6 {
				t.Errorf("rooms of %.1f ms: the nodes took %d and %d", c.each, a.owns, b.owns)
			}
			if most := max(a.most, b.most); most > c.most {
				t.Errorf("rooms of %.1f ms: a node's rooms took %.2f of its capacity, want %.2f at most", c.each, most, c.most)
			}
			if s.waste > len(s.owner)/4 {
				t.Errorf("rooms of %.1f ms: %d were begun in vain, beside %d", c.each, s.waste, len(s.owner))
			}
			t.Logf("rooms of %.1f ms: %d and %d taken, the last after %v, %d begun in vain, at most %.2f of the capacity", c.each, a.owns, b.owns, s.last.Round(time.Millisecond), s.waste, max(a.most, b.most))
		}
	}
}

// TestTheRoomsOfADeadNodeAreTakenSoon: 500 rooms of 2 ms lose their owner, and three nodes with other loads take them within two seconds,
// although each claim takes 100 ms.
func TestTheRoomsOfADeadNodeAreTakenSoon(t *testing.T) {
	for seed := range uint64(4) {
		s := newStorm(seed, 500, 2, 100*time.Millisecond, "a", "b", "c")
		for i, n := range s.nodes {
			for k := range 100 * (i + 1) {
				id := wantedRooms(400, 1000+seed)[k].ID + n.Node
				n.load.Begin(id)
				n.load.Measured(id, 2)
			}
		}
		s.run(2 * time.Second)
		var owns []int
		for _, n := range s.nodes {
			owns = append(owns, n.owns)
		}
		if len(s.owner) != 500 || owns[0] < owns[2] || slices.Min(owns) < 50 || s.waste > 300 {
			t.Errorf("seed %d: after 2 s %d of 500 rooms are taken, by %v; %d were begun in vain", seed, len(s.owner), owns, s.waste)
		}
		t.Logf("seed %d: taken by %v, the last after %v, %d begun in vain", seed, owns, s.last.Round(time.Millisecond), s.waste)
	}
}
