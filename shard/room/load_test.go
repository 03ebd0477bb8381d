package room

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestARoomCountsAGuessUntilItIsMeasured(t *testing.T) {
	l := NewLoad(1000)
	expect := func(what string, used, next float64) {
		t.Helper()
		if got := l.Used(); got < used-1e-9 || got > used+1e-9 || l.Next() != next {
			t.Errorf("%s: it takes %v, and one more counts %v, want %v and %v", what, got, l.Next(), used, next)
		}
	}
	expect("empty", 0, 20)
	l.Begin("a")
	l.Begin("b")
	l.Begin("b")
	expect("two begun", 40, 20)
	l.Measured("a", 50)
	expect("one measured", 100, 50)
	l.Measured("b", 0.5)
	l.Begin("c")
	l.Measured("c", 1)
	expect("three measured", 51.5, 2) // never less
	l.Measured("a", 150)
	expect("one of them is busier", 0.7*50+0.3*150+1.5, 2)
	l.Measured("x", 1000) // ended meanwhile
	l.End("a")
	l.End("a")
	expect("the busy one has ended", 1.5, 2)
	l.Begin("d")
	expect("one more", 3.5, 2)
	for _, id := range []string{"b", "c", "d"} {
		l.End(id)
	}
	expect("empty again", 0, 20)
}

// bidding is a node in a simulation of those that bid for rooms: what package node does, without clocks.
type bidding struct {
	Bidder
	load *Load
	due  map[string]time.Duration // when it bids, by room
}

func newBidding(node string, capacity float64, hosts int, each float64) *bidding {
	b := &bidding{Bidder: Bidder{Node: node, Game: "arena", Capacity: capacity}, load: NewLoad(capacity), due: map[string]time.Duration{}}
	for i := range hosts {
		id := fmt.Sprint(node, "-", i)
		b.load.Begin(id)
		b.load.Measured(id, each)
	}
	return b
}

func (b *bidding) bidder() *Bidder {
	b.Used, b.Next = b.load.Used(), b.load.Next()
	return &b.Bidder
}

// contest lets nodes bid for rooms until nobody takes one more, and returns who took how many. It stops at a node that took more
// than its capacity.
func contest(t *testing.T, nodes []*bidding, rooms []*Room, each float64) (took map[string]int) {
	t.Helper()
	took = map[string]int{}
	free := map[string]*Room{}
	for _, r := range rooms {
		free[r.ID] = r
		for _, n := range nodes {
			if after, why := n.bidder().Bid(r); why == "" {
				n.due[r.ID] = after
			}
		}
	}
	for {
		var first *bidding
		id := ""
		for _, n := range nodes {
			for r, due := range n.due {
				if first == nil || due < first.due[id] || due == first.due[id] && r < id {
					first, id = n, r
				}
			}
		}
		if first == nil {
			return took
		}
		now := first.due[id] // the rooms became free at 0
		switch more, why := first.bidder().Turn(free[id], now); {
		case why != "":
			delete(first.due, id)
		case more > 0:
			first.due[id] = now + more
		default:
			first.load.Begin(id)
			first.load.Measured(id, each)
			took[first.Node]++
			delete(free, id)
			for _, n := range nodes {
				delete(n.due, id)
			}
		}
		if first.load.Used() > first.Capacity {
			t.Fatalf("node %s has taken %.1f of %.0f ms per second", first.Node, first.load.Used(), first.Capacity)
		}
	}
}

func wantedRooms(n int, seed uint64) (all []*Room) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range n {
		all = append(all, &Room{ID: fmt.Sprintf("r-%016x", random.Uint64()), Spec: &Spec{Game: "arena"}})
	}
	return all
}

// TestTheRoomsOfADeadNodeSpread: one of four nodes dies with 300 rooms. The others take them all at once, the emptiest most, until
// they are equally full.
func TestTheRoomsOfADeadNodeSpread(t *testing.T) {
	for seed := range uint64(4) {
		a, b, c := newBidding("a", 1000, 20, 5), newBidding("b", 1000, 40, 5), newBidding("c", 1000, 80, 5)
		nodes := []*bidding{a, b, c}
		took := contest(t, nodes, wantedRooms(300, seed), 2)
		if took["a"]+took["b"]+took["c"] != 300 {
			t.Fatalf("seed %d: of 300 rooms %v were taken", seed, took)
		}
		loads := []float64{a.load.Used(), b.load.Used(), c.load.Used()}
		if most, least := slices.Max(loads), slices.Min(loads); most-least > 110 {
			t.Errorf("seed %d: the nodes took %v, and now are at %.0f", seed, took, loads)
		}
		if took["a"] <= took["b"] || took["b"] <= took["c"] || took["c"] == 0 {
			t.Errorf("seed %d: the emptiest first: %v", seed, took)
		}
	}
}

// TestNobodyTakesMoreThanItsCapacity: what is too much for four nodes waits, and each says why.
func TestNobodyTakesMoreThanItsCapacity(t *testing.T) {
	for seed := range uint64(4) {
		var nodes []*bidding
		for _, name := range []string{"a", "b", "c", "d"} {
			nodes = append(nodes, newBidding(name, 100, 0, 0))
		}
		rooms := wantedRooms(200, seed)
		took := contest(t, nodes, rooms, 3)
		for _, n := range nodes {
			if took[n.Node] != 33 {
				t.Errorf("seed %d: node %s took %d rooms of 3 ms, which leaves %.1f of 100", seed, n.Node, took[n.Node], 100-n.load.Used())
			}
			if _, why := n.bidder().Bid(rooms[0]); why != fmt.Sprintf("node %s is full: its rooms take 99 of 100 ms per second, and one more counts 3", n.Node) {
				t.Errorf("seed %d: node %s says %q", seed, n.Node, why)
			}
		}
	}
}

// TestOnlyNodesWithARoomsLabelsTakeIt: labels restrict who bids, also when the others are empty.
func TestOnlyNodesWithARoomsLabelsTakeIt(t *testing.T) {
	eu, us, none := newBidding("eu", 1000, 100, 5), newBidding("us", 1000, 0, 0), newBidding("none", 1000, 0, 0)
	eu.Labels, us.Labels = map[string]string{"region": "eu", "gpu": "yes"}, map[string]string{"region": "us"}
	rooms := wantedRooms(90, 1)
	for _, r := range rooms {
		r.Spec.Labels = map[string]string{"region": "eu"}
	}
	if took := contest(t, []*bidding{eu, us, none}, rooms, 2); took["eu"] != 90 {
		t.Errorf("they were taken by %v", took)
	}
}
