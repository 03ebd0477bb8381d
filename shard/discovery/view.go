package discovery

import (
	"sync"
	"sync/atomic"
)

// view is the state that lookups see. It is never changed, only replaced.
type view struct {
	types map[string]*typeView
	names []string
}

// typeView is the part of a view for one type.
type typeView struct {
	instances []Instance // by id
	picky     bool       // an instance does not take every format
	seats     []seat     // of the instances that are up and have room, in the same order
	selector  Selector
}

// seat is an instance that may get players.
type seat struct {
	reported Candidate
	room     int     // players that may be placed on top of those reported
	perSeat  float64 // the load that one player adds
	placed   *placed // shared by all views with the instance
}

func newSeat(r *record) seat {
	i := &r.instance
	return seat{
		reported: Candidate{ID: i.ID, Players: i.Players, Load: i.Fullness(), hash: r.hash},
		room:     i.room(), perSeat: 1 / i.seats(), placed: r.placed,
	}
}

// placed counts the players who were placed on an instance and may be missing from its report: those since the report
// before the last, because the last may already have been under way.
type placed struct {
	count atomic.Int64
	older int64 // those placed before the last report; only the directory's goroutine uses it
}

// rotate forgets the players placed before the last report.
func (p *placed) rotate() { p.older = p.count.Add(-p.older) }

// candidates are reused: a thousand of them take 48 KB.
var candidates = sync.Pool{New: func() any { return new(choice) }}

type choice struct {
	candidates []Candidate
	seats      []int32 // their indices in the view
}

// maxRaces bounds the attempts of a pick that loses an instance's last seat to another pick.
const maxRaces = 8

// pick places one player, but not on the excluded instance; "" excludes none.
func (t *typeView) pick(key, excluded string, r uint64) (string, bool) {
	c := candidates.Get().(*choice)
	defer candidates.Put(c)
	for race := range uint64(maxRaces) {
		t.fill(c, excluded)
		if len(c.candidates) == 0 {
			return "", false
		}
		i := t.selector.Pick(c.candidates, key, r+race)
		if i < 0 || i >= len(c.candidates) {
			return "", false
		}
		if s := &t.seats[c.seats[i]]; s.take() {
			return s.reported.ID, true
		}
	}
	return "", false
}

// fill lists the instances with room, without the excluded one.
func (t *typeView) fill(c *choice, excluded string) {
	if cap(c.candidates) < len(t.seats) {
		c.candidates, c.seats = make([]Candidate, len(t.seats)), make([]int32, len(t.seats))
	}
	all, at, n := c.candidates[:len(t.seats)], c.seats[:len(t.seats)], 0
	for i := range t.seats {
		s := &t.seats[i]
		more := int(s.placed.count.Load())
		if more >= s.room || s.reported.ID == excluded {
			continue
		}
		o := &all[n]
		*o = s.reported
		if more > 0 {
			o.Players += more
			o.Load += float64(more) * s.perSeat
		}
		at[n] = int32(i)
		n++
	}
	c.candidates, c.seats = all[:n], at[:n]
}

// take counts a player. It returns false if another pick has taken the last seat.
func (s *seat) take() bool {
	for {
		n := s.placed.count.Load()
		if int(n) >= s.room {
			return false
		}
		if s.placed.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
