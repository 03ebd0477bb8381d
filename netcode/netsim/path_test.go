package netsim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sent is a packet and its fate.
type sent struct {
	at       time.Duration
	arrivals []time.Duration
}

// flow sends packets at even times.
func flow(p *Path, packets int, every time.Duration, size int) (all []sent) {
	for i := range packets {
		at := time.Duration(i) * every
		all = append(all, sent{at, p.Send(nil, at, size)})
	}
	return all
}

func TestAPerfectPathPassesEachPacketAtOnce(t *testing.T) {
	for _, s := range flow(NewPath(Conditions{}, 1), 1000, time.Millisecond, 1200) {
		if !slices.Equal(s.arrivals, []time.Duration{s.at}) {
			t.Fatalf("sent at %v: %v", s.at, s.arrivals)
		}
	}
}

func TestTheSameSeedGivesTheSameNetwork(t *testing.T) {
	c, err := Parse("120ms,25ms,5%,burst=3,reorder=2%,dup=2%,rate=2mbit")
	if err != nil {
		t.Fatal(err)
	}
	fates := func(seed uint64) []sent { return flow(NewPath(c, seed), 2000, 3*time.Millisecond, 300) }
	same := func(a, b sent) bool { return slices.Equal(a.arrivals, b.arrivals) }
	if !slices.EqualFunc(fates(7), fates(7), same) {
		t.Error("the same seed gave two networks")
	}
	if slices.EqualFunc(fates(7), fates(8), same) {
		t.Error("two seeds gave the same network")
	}
}

// TestLossHasItsShareAndItsBursts: the share of lost packets and the mean length of their runs are what was asked for.
func TestLossHasItsShareAndItsBursts(t *testing.T) {
	for _, c := range []Conditions{{Loss: 0.05}, {Loss: 0.05, Burst: 4}, {Loss: 0.3, Burst: 2}, {Loss: 0.01, Burst: 20}, {Loss: 1}, {Loss: 1, Burst: 5}} {
		const packets = 400_000
		lost, runs, before := 0, 0, false
		p := NewPath(c, 3)
		for _, s := range flow(p, packets, time.Millisecond, 100) {
			gone := len(s.arrivals) == 0
			if gone {
				lost++
				if !before {
					runs++
				}
			}
			before = gone
		}
		if p.Sent != packets || p.Lost != uint64(lost) {
			t.Errorf("%v: %d of %d are lost, and %d of %d are counted", c, lost, packets, p.Lost, p.Sent)
		}
		if share := float64(lost) / packets; math.Abs(share-c.Loss) > 0.1*c.Loss {
			t.Errorf("%v: %.4f are lost", c, share)
		}
		if c.Loss == 1 {
			continue
		}
		want := c.Burst
		if want == 0 {
			want = 1 / (1 - c.Loss)
		}
		if mean := float64(lost) / float64(runs); math.Abs(mean-want) > 0.1*want {
			t.Errorf("%v: %.2f in a row, want %.2f", c, mean, want)
		}
	}
}

// TestJitterStaysInItsRangeAndKeepsTheOrder, and uses most of the range.
func TestJitterStaysInItsRangeAndKeepsTheOrder(t *testing.T) {
	c := Conditions{RTT: 120 * time.Millisecond, Jitter: 50 * time.Millisecond}
	least, most := time.Hour, time.Duration(0)
	last := time.Duration(0)
	for _, s := range flow(NewPath(c, 5), 20_000, 5*time.Millisecond, 100) {
		took := s.arrivals[0] - s.at
		least, most = min(least, took), max(most, took)
		if s.arrivals[0] < last {
			t.Fatalf("the packet of %v overtakes another", s.at)
		}
		last = s.arrivals[0]
	}
	if least < 35*time.Millisecond || least > 40*time.Millisecond || most > 85*time.Millisecond || most < 80*time.Millisecond {
		t.Errorf("from %v to %v, want about 35 to 85 ms", least, most)
	}
}

func TestHeldBackPacketsAreOvertaken(t *testing.T) {
	overtaken, last := 0, time.Duration(0)
	for _, s := range flow(NewPath(Conditions{RTT: 40 * time.Millisecond, Reorder: 0.1}, 5), 10_000, time.Millisecond, 100) {
		if s.arrivals[0]-s.at > 20*time.Millisecond+heldBack {
			t.Errorf("sent at %v, there at %v", s.at, s.arrivals[0])
		}
		if s.arrivals[0] > s.at+20*time.Millisecond+time.Millisecond {
			overtaken++
		}
		last = max(last, s.arrivals[0])
	}
	if overtaken < 800 || overtaken > 1100 {
		t.Errorf("%d of 10000 are overtaken, want about 950", overtaken)
	}
}

// TestHeldBackPacketsAreOvertakenByTheNextTick, too: a game's packets come a tick apart.
func TestHeldBackPacketsAreOvertakenByTheNextTick(t *testing.T) {
	overtaken, last := 0, time.Duration(0)
	for _, s := range flow(NewPath(Conditions{RTT: 120 * time.Millisecond, Reorder: 0.1}, 5), 10_000, 33*time.Millisecond, 100) {
		if s.arrivals[0] < last {
			overtaken++
		}
		last = s.arrivals[0]
	}
	if overtaken < 500 {
		t.Errorf("%d of 10000 are overtaken, want 500 or more", overtaken)
	}
}

// TestAHeldBackPacketIsNoFaster than those before it, however the jitter falls.
func TestAHeldBackPacketIsNoFaster(t *testing.T) {
	c := Conditions{RTT: 120 * time.Millisecond, Jitter: 120 * time.Millisecond}
	for seed := range uint64(20) {
		straight := NewPath(c, seed)
		last := time.Duration(0)
		for i := range 500 {
			held := *straight // what would become of this packet if it were held back
			held.rng, held.c.Reorder = rand.New(rand.NewPCG(seed, uint64(i))), 1
			at := time.Duration(i) * 2 * time.Millisecond
			if got := held.Send(nil, at, 100)[0]; got < last {
				t.Fatalf("seed %d: the packet of %v arrives at %v, before one that arrives at %v", seed, at, got, last)
			}
			last = straight.Send(nil, at, 100)[0]
		}
	}
}

func TestDoubledPacketsArriveTwice(t *testing.T) {
	double := 0
	for _, s := range flow(NewPath(Conditions{Duplicate: 0.1}, 5), 10_000, time.Millisecond, 100) {
		if len(s.arrivals) == 2 {
			double++
		}
	}
	if double < 900 || double > 1100 {
		t.Errorf("%d of 10000 arrive twice, want about 1000", double)
	}
}

// TestARateQueuesAndThenLoses: a path that is offered twice what it carries delivers its rate; packets wait at most as long as the
// queue is, and half of them are lost. One that is offered less delays a packet by its own length.
func TestARateQueuesAndThenLoses(t *testing.T) {
	const size, every = 1000, 4 * time.Millisecond // 2 Mbit/s
	p := NewPath(Conditions{Rate: 1_000_000, Queue: 100 * time.Millisecond}, 1)
	bits, last := 0, time.Duration(0)
	for _, s := range flow(p, 5000, every, size) {
		if len(s.arrivals) > 0 {
			bits += 8 * size
			last = s.arrivals[0]
			if wait := last - s.at; wait > 100*time.Millisecond+8*time.Millisecond {
				t.Fatalf("the packet of %v took %v", s.at, wait)
			}
		}
	}
	if rate := float64(bits) / last.Seconds(); math.Abs(rate-1e6) > 1e4 {
		t.Errorf("%.0f bit/s, want 1000000", rate)
	}
	if p.Lost < 2400 || p.Lost > 2500 {
		t.Errorf("%d of 5000 are lost", p.Lost)
	}
	for _, s := range flow(NewPath(Conditions{Rate: 8_000_000}, 1), 100, every, size) {
		if took := s.arrivals[0] - s.at; took != time.Millisecond {
			t.Errorf("a packet of 1 ms took %v", took)
		}
	}
}

func TestACutPathLosesAll(t *testing.T) {
	p := NewPath(Conditions{}, 1)
	p.Cut(true)
	if at := p.Send(nil, 0, 100); len(at) > 0 {
		t.Error("it is cut")
	}
	p.Cut(false)
	if at := p.Send(nil, time.Second, 100); len(at) != 1 {
		t.Error("it is whole again")
	}
}
