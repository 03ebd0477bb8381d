package room

import "slices"

// Load is what the rooms of a node take of its capacity, in milliseconds of work per second. Create one with NewLoad. Not safe
// for concurrent use.
type Load struct {
	capacity float64
	rooms    map[string]float64 // by id: what it takes, or unmeasured
	fresh    int                // rooms that are unmeasured
	measured float64            // sum of the others
	next     float64            // see Next; 0: to be computed
}

const (
	unmeasured = -1
	firstRooms = 50  // an empty node begins so many before it has measured one
	leastWork  = 2   // ms per second: a new room counts no less
	inertia    = 0.7 // of a measurement against the next one
)

// NewLoad returns the load of a node without rooms.
func NewLoad(capacity float64) *Load { return &Load{capacity: capacity, rooms: map[string]float64{}} }

// Begin counts a room that the node has begun to host.
func (l *Load) Begin(id string) {
	if _, known := l.rooms[id]; !known {
		l.rooms[id] = unmeasured
		l.fresh++
	}
}

// End forgets a room.
func (l *Load) End(id string) {
	switch ms, known := l.rooms[id]; {
	case !known:
		return
	case ms == unmeasured:
		l.fresh--
	default:
		l.measured -= ms
	}
	delete(l.rooms, id)
	if l.next = 0; len(l.rooms) == l.fresh {
		l.measured = 0 // whatever the sums have rounded
	}
}

// Measured counts what a room has taken lately. Later measurements of it weigh less than the first.
func (l *Load) Measured(id string, ms float64) {
	before, known := l.rooms[id]
	switch {
	case !known:
		return
	case before == unmeasured:
		l.fresh--
		before = 0
	default:
		ms = inertia*before + (1-inertia)*ms
	}
	l.rooms[id] = ms
	l.measured += ms - before
	l.next = 0
}

// Used returns what the rooms take, with a guess for those that are unmeasured.
func (l *Load) Used() float64 { return l.measured + float64(l.fresh)*l.Next() }

// Next returns what an unmeasured room counts: the median of the measured ones, or a fiftieth of the capacity while the node has
// measured none, but at least 2 ms per second.
func (l *Load) Next() float64 {
	if l.next == 0 {
		known := make([]float64, 0, len(l.rooms))
		for _, ms := range l.rooms {
			if ms != unmeasured {
				known = append(known, ms)
			}
		}
		l.next = l.capacity / firstRooms
		if len(known) > 0 {
			slices.Sort(known)
			l.next = known[len(known)/2]
		}
		l.next = max(l.next, leastWork)
	}
	return l.next
}
