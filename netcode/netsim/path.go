package netsim

import (
	"math/rand/v2"
	"time"
)

// Path is one direction of a network, as a function of values: it has no clock and no goroutine, and must not be used concurrently.
// Packets arrive in the order in which they were sent, except for those that are held back, which later ones may overtake.
//
// Bursts of losses follow Gilbert's model (Capacity of a Burst-Noise Channel, 1960): a path that is bad loses every packet, one that is
// good loses none, and chance changes it after each packet. Jitter wanders from one random value to the next, because the delays
// of packets that follow each other closely are alike.
type Path struct {
	c    Conditions
	rng  *rand.Rand
	cut  bool
	bad  bool          // it loses packets now
	free time.Duration // when the rate lets the next packet begin
	last time.Duration // when the last packet that was not held back arrives

	wave       time.Duration // when the jitter reaches to
	from, to   float64       // -1 to 1
	begun      bool
	Sent, Lost uint64 // packets so far; Lost counts those that a full queue refused, too
}

// jitterEvery is how long jitter takes from one random value to the next.
const jitterEvery = 40 * time.Millisecond

// heldBack is how long a held-back packet waits at most, if the jitter is less: a few ticks of a game.
const heldBack = 100 * time.Millisecond

// NewPath returns a path under checked conditions.
func NewPath(c Conditions, seed uint64) *Path {
	return &Path{c: c, rng: rand.New(rand.NewPCG(seed, 0x6e657473696d))}
}

// Set changes the conditions for what is sent from now on.
func (p *Path) Set(c Conditions) { p.c = c }

// Cut loses everything that is sent while on is true.
func (p *Path) Cut(on bool) { p.cut = on }

// Send appends to arrivals when a packet of size bytes arrives that is sent at now: no time if it is lost, two if it is doubled.
// Times count from any moment, and now never decreases.
func (p *Path) Send(arrivals []time.Duration, now time.Duration, size int) []time.Duration {
	p.Sent++
	lost := p.loses() || p.cut
	if p.c.Rate > 0 {
		start := max(p.free, now)
		queue := p.c.Queue
		if queue == 0 {
			queue = DefaultQueue
		}
		if start-now > queue {
			p.Lost++
			return arrivals
		}
		p.free = start + time.Duration(float64(size)*8/float64(p.c.Rate)*float64(time.Second))
	}
	held, double := p.chance(p.c.Reorder), p.chance(p.c.Duplicate)
	strays := p.strays(now)
	if lost {
		p.Lost++
		return arrivals
	}
	at := now + p.c.RTT/2 + time.Duration(strays*float64(p.c.Jitter)/2)
	if p.c.Rate > 0 {
		at += p.free - now
	}
	at = max(at, p.last)
	if held {
		at += time.Duration(p.rng.Float64() * float64(max(p.c.Jitter, heldBack)))
	} else {
		p.last = at
	}
	arrivals = append(arrivals, at)
	if double {
		arrivals = append(arrivals, at)
	}
	return arrivals
}

// loses reports whether the next packet is lost, and turns the path good or bad for the one after it.
func (p *Path) loses() bool {
	switch {
	case p.c.Loss <= 0:
		p.bad = false
		return false
	case p.c.Loss >= 1:
		return true
	case p.c.Burst == 0:
		return p.chance(p.c.Loss)
	}
	recovers := 1 / p.c.Burst
	if p.bad {
		p.bad = !p.chance(recovers)
	} else {
		p.bad = p.chance(recovers * p.c.Loss / (1 - p.c.Loss))
	}
	return p.bad
}

// strays returns how far the delay is from its middle, from -1 to 1.
func (p *Path) strays(now time.Duration) float64 {
	for ; !p.begun || now >= p.wave; p.wave += jitterEvery {
		if !p.begun || now-p.wave > time.Second {
			p.begun, p.wave, p.to = true, now, 2*p.rng.Float64()-1
		}
		p.from, p.to = p.to, 2*p.rng.Float64()-1
	}
	left := float64(p.wave-now) / float64(jitterEvery)
	return p.to + (p.from-p.to)*left
}

func (p *Path) chance(of float64) bool { return of > 0 && p.rng.Float64() < of }
