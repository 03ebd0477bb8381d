package room

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// Bidder is what a node knows of itself when it decides about rooms.
type Bidder struct {
	Node     string
	Game     string            // the one that it can run
	Labels   map[string]string // its own
	Capacity float64           // milliseconds of tick work per second that it may spend; 0: it hosts no rooms
	Used     float64           // that its rooms take now, with those that it has just begun (Load.Used)
	Next     float64           // that one more counts until it was measured (Load.Next)
	Opening  int               // rooms that it has begun and does not own yet
}

// A node waits before it bids: the fuller, the longer, so that the emptiest bids first. Nodes that are equally full bid
// in an order that differs from room to room.
const (
	loadDelay = 500 * time.Millisecond // of a full node
	tieDelay  = 50 * time.Millisecond

	// A claim takes a while, in which other nodes begin the same rooms in vain. So a node begins few at once, and sees which ones others
	// have got meanwhile.
	mostOpening = 32
	openingWait = 40 * time.Millisecond // then it looks again, sooner or later for each room
)

// Bid returns how long the node waits before it bids for a room that nobody owns. why is not empty if it does not bid,
// and says why not.
func (b *Bidder) Bid(r *Room) (after time.Duration, why string) {
	switch {
	case r.Spec == nil || r.Phase() != Wanted:
		return 0, "nobody wants it now"
	case r.Halted:
		return 0, "it is halted"
	case r.Spec.Game != b.Game:
		return 0, fmt.Sprintf("node %s runs the game %s", b.Node, b.Game)
	case b.Capacity <= 0:
		return 0, fmt.Sprintf("node %s hosts no rooms", b.Node)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Spec.Labels)) {
		if value := r.Spec.Labels[name]; b.Labels[name] != value {
			return 0, fmt.Sprintf("node %s does not have the label %s=%s", b.Node, name, value)
		}
	}
	if b.Used > 0 && b.Used+b.Next > b.Capacity { // last: the others do not pass; an empty node takes any room
		return 0, fmt.Sprintf("node %s is full: its rooms take %.0f of %.0f ms per second, and one more counts %.0f", b.Node, b.Used, b.Capacity, b.Next)
	}
	return time.Duration(b.Used/b.Capacity*float64(loadDelay)) + time.Duration(lot(r.ID, b.Node)*float64(tieDelay)), ""
}

// Turn returns how much longer a node waits that has waited for a room so far: the rooms that it took meanwhile make its wait
// longer, so that of many rooms that are to be had at once each node takes its share. It also waits while it opens many.
func (b *Bidder) Turn(r *Room, waited time.Duration) (more time.Duration, why string) {
	after, why := b.Bid(r)
	if more = max(0, after-waited); why == "" && b.Opening >= mostOpening {
		more = max(more, time.Duration((0.5+lot(r.ID, b.Node))*float64(openingWait)))
	}
	return more, why
}

// TickPhase returns where in their period the ticks of a room fall: a share in [0, 1) that depends only on the room's id, so
// that the rooms of a node do not all wake at once.
func TickPhase(id string) float64 { return lot(id, "ticks") }

// lot returns a number in [0, 1) that depends only on two texts.
func lot(a, b string) float64 {
	h := fnv.New64a()
	h.Write([]byte(a))
	h.Write([]byte{0})
	h.Write([]byte(b))
	x := h.Sum64() // FNV's low bits mix badly for short texts that differ at the end
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}
