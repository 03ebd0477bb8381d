package discovery

import (
	"slices"
	"strings"
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
	answering []string   // ids of those that take requests to any: see Any
	picky     bool       // an instance does not take every format
	seats     []seat     // of the instances that are up and not busy by their own measure, in the same order
	selector  Selector
}

// seat is an instance that may get players.
type seat struct {
	reported Candidate
	room     int     // players that may be placed on top of those reported; 0 or less: it is full
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

// placed counts the players who were placed on an instance and may be missing from its report, and those who have left
// and may still be in it: those since the report before the last, because the last may already have been under way.
type placed struct{ came, left recent }

func (p *placed) rotate() {
	p.came.rotate()
	p.left.rotate()
}

// recent is a count that forgets.
type recent struct {
	count atomic.Int64
	older int64 // what was counted before the last report; only the directory's goroutine uses it
}

// rotate forgets what was counted before the last report.
func (r *recent) rotate() { r.older = r.count.Add(-r.older) }

// candidates are reused: a thousand of them take 48 KB.
var candidates = sync.Pool{New: func() any { return new(choice) }}

type choice struct {
	candidates []Candidate
	seats      []int32 // their indices in the view
}

// maxRaces bounds the attempts of a pick that loses an instance's last seat to another pick.
const maxRaces = 8

// pick places one player.
func (t *typeView) pick(p Player, r uint64) (string, bool) {
	c := candidates.Get().(*choice)
	defer candidates.Put(c)
	for race := range uint64(maxRaces) {
		home := t.fill(c, p)
		if p.silent != nil {
			home = c.without(p.silent, home)
		}
		if len(c.candidates) == 0 {
			return "", false
		}
		i := t.selector.Pick(c.candidates, p.Key, r+race)
		chose := i >= 0 && i < len(c.candidates)
		if home >= 0 && (!chose || !muchEmptier(&c.candidates[i], &c.candidates[home], t.seats[c.seats[home]].perSeat)) {
			s := &t.seats[c.seats[home]]
			s.placed.came.count.Add(1)
			return s.reported.ID, true
		}
		if !chose {
			return "", false
		}
		if s := &t.seats[c.seats[i]]; s.take() {
			return s.reported.ID, true
		}
	}
	return "", false
}

// muchEmptier reports whether a player should move to other instead of going back home: if home's load is greater by
// more than an eighth and two players, which reports that are late do not explain.
func muchEmptier(other, home *Candidate, perSeat float64) bool {
	return home.Load-other.Load > home.Load/8+2*perSeat
}

// fill lists the instances that may get a player, and returns the index of the player's home, or -1.
func (t *typeView) fill(c *choice, p Player) (home int) {
	if cap(c.candidates) < len(t.seats) {
		c.candidates, c.seats = make([]Candidate, len(t.seats)), make([]int32, len(t.seats))
	}
	home = -1
	its, except := t.seatOf(p.Home), t.seatOf(p.Except)
	all, at, n := c.candidates[:len(t.seats)], c.seats[:len(t.seats)], 0
	for i := range t.seats {
		s := &t.seats[i]
		came, left := int(s.placed.came.count.Load()), int(s.placed.left.count.Load())
		full := came >= s.room // whoever has left may be missing from the report already
		if i == its {
			full = s.room <= -left // of those who came, some had their home here as well
		}
		if full || i == except {
			continue
		}
		if i == its {
			home = n
		}
		o := &all[n]
		*o = s.reported
		if more := came - left; more != 0 {
			o.Players = max(0, o.Players+more)
			o.Load = max(0, o.Load+float64(more)*s.perSeat)
		}
		at[n] = int32(i)
		n++
	}
	c.candidates, c.seats = all[:n], at[:n]
	return home
}

// without removes candidates, and returns the new index of the player's home, or -1.
func (c *choice) without(out func(id string) bool, home int) int {
	n, at := 0, -1
	for i := range c.candidates {
		if out(c.candidates[i].ID) {
			continue
		}
		if i == home {
			at = n
		}
		c.candidates[n], c.seats[n] = c.candidates[i], c.seats[i]
		n++
	}
	c.candidates, c.seats = c.candidates[:n], c.seats[:n]
	return at
}

// seatOf returns the index of an instance's seat, or -1.
func (t *typeView) seatOf(id string) int {
	if id == "" {
		return -1
	}
	i, ok := slices.BinarySearchFunc(t.seats, id, func(s seat, id string) int { return strings.Compare(s.reported.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// take counts a player. It returns false if another pick has taken the last seat.
func (s *seat) take() bool {
	for {
		n := s.placed.came.count.Load()
		if int(n) >= s.room {
			return false
		}
		if s.placed.came.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
