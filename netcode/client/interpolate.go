package client

import (
	"math"
	"time"

	"github.com/ferris1/wind/ecs"
)

// The constants of interpolation, in ticks.
const (
	leastBehind = 2.0  // how far the picture is behind the newest update, at least
	mostBehind  = 12.0 // at most
	jumpBehind  = 12.0 // from this error on, it jumps
	mostAhead   = 0.25 // seconds for which an entity without an update goes on as it did
	stoodFor    = 10   // from this pause on, an entity is taken to have stood still, and not to have moved unseen
)

// playback is the clock of what is drawn of other entities: so far behind the newest update that there is nearly always a later one to
// interpolate to. It is pure: time is an argument.
type playback struct {
	rate   float64 // ticks per second
	tick   float64
	at     time.Time
	speed  float64
	newest uint64
	lead   float64 // of the newest update when it arrived, smoothed
	jitter float64 // smoothed deviation of it
}

// arrived tells that the update of a tick has come.
func (p *playback) arrived(tick uint64, now time.Time) {
	if tick <= p.newest {
		return
	}
	first := p.newest == 0
	p.newest = tick
	if first {
		p.tick, p.at, p.speed, p.lead = float64(tick)-p.behind(), now, 1, p.behind()
		return
	}
	lead := float64(tick) - p.now(now)
	p.jitter += (math.Min(math.Abs(lead-p.lead), leastBehind) - p.jitter) * smoothing
	p.lead += (lead - p.lead) * smoothing
	wrong := p.lead - p.behind()
	if math.Abs(wrong) > jumpBehind {
		p.tick, p.lead, p.speed = float64(tick)-p.behind(), p.behind(), 1
		return
	}
	p.speed = math.Max(minSpeed, math.Min(maxSpeed, 1+wrong*gain))
}

// behind returns how far behind the newest update the picture aims to be.
func (p *playback) behind() float64 {
	return math.Min(mostBehind, leastBehind+3*p.jitter)
}

// now returns the tick that is drawn at a time, with its fraction. It never goes back.
func (p *playback) now(now time.Time) float64 {
	if d := now.Sub(p.at); d > 0 {
		p.tick += d.Seconds() * p.rate * p.speed
		p.at = now
	}
	return p.tick
}

// tracks remembers where the entities in sight were.
type tracks struct {
	view *View
	play playback
	of   map[ecs.Entity]*track
	seen uint64 // number of the update
}

// track is where an entity was lately.
type track struct {
	points [8]point // the newest last
	n      int
	shown  offset // what a late update has left to be smoothed
	seen   uint64
}

// point is where an entity was from a tick to another.
type point struct {
	from, to uint64
	x, y     float64
}

// update takes the positions of a new update.
func (t *tracks) update(now time.Time) {
	v := t.view
	t.play.arrived(v.mirror.Tick(), now)
	tick := t.play.now(now)
	t.seen++
	for e := range v.mirror.Each {
		known, _ := v.mirror.Known(e)
		var ok bool
		if v.scratch, ok = v.mirror.Packed(v.scratch[:0], e, v.place.name); !ok {
			continue
		}
		x, y := v.place.of(v.scratch)
		r := t.of[e]
		if r == nil {
			r = &track{}
			t.of[e] = r
		}
		r.seen = t.seen
		r.add(point{known, known, x, y}, tick, t.play.rate, now)
	}
	for e, r := range t.of {
		if r.seen != t.seen {
			delete(t.of, e)
		}
	}
}

// add adds a point. tick is what is drawn now: it moves on smoothly.
func (r *track) add(p point, tick, rate float64, now time.Time) {
	if r.n > 0 {
		last := &r.points[r.n-1]
		switch {
		case p.from <= last.to:
			return // nothing new is known
		case p.x == last.x && p.y == last.y:
			last.to = p.to
			return
		case p.from-last.to > stoodFor:
			last.to = p.from - 1
		}
		x, y := r.where(tick, rate)
		defer func() {
			nx, ny := r.where(tick, rate)
			r.shown.add(x-nx, y-ny, now)
		}()
	}
	if r.n == len(r.points) {
		copy(r.points[:], r.points[1:])
		r.n--
	}
	r.points[r.n] = p
	r.n++
}

// where returns where the entity was at a tick, or would be.
func (r *track) where(tick, rate float64) (x, y float64) {
	i := r.n - 1
	for i > 0 && float64(r.points[i].from) > tick {
		i--
	}
	p := &r.points[i]
	past := tick - float64(p.to)
	if past <= 0 || r.n == 1 {
		return p.x, p.y
	}
	a, b := p, p
	if i+1 < r.n {
		b = &r.points[i+1]
	} else if p.from < p.to {
		return p.x, p.y // it stood still
	} else {
		a = &r.points[i-1]
		past = math.Min(past, mostAhead*rate)
	}
	dx, dy := b.x-a.x, b.y-a.y
	if math.Hypot(dx, dy) >= jumpMetres {
		return p.x, p.y
	}
	f := past / float64(b.from-a.to)
	return p.x + dx*f, p.y + dy*f
}

// position returns where to draw an entity at a time.
func (t *tracks) position(e ecs.Entity, now time.Time) (x, y float64, ok bool) {
	r := t.of[e]
	if r == nil || r.n == 0 {
		return 0, 0, false
	}
	x, y = r.where(t.play.now(now), t.play.rate)
	dx, dy := r.shown.left(now)
	return x + dx, y + dy, true
}
