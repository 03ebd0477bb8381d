package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ferris1/wind/persistence"
)

// This file is the stream that the simulated shard shares with other rooms, as jetstream.Log and its servers keep it: each
// message has a sequence of the stream, and a record's number is counted per room. In every fourth seed the shard has the stream
// to itself. In every second the servers replicate: the leader compares when a message arrives, and stores it later.

// simRoom is what the stream holds of one room: its records, and the seal under the same filter, in the stream's order.
type simRoom struct {
	log    []persistence.Message // index 0 is record 1
	places []uint64              // their sequences in the stream
	first  persistence.Seq       // first that is not purged
}

const sealKind = "seal"

// sealed reports whether the room's last record is a seal.
func (r *simRoom) sealed() bool {
	return len(r.log) > 0 && r.log[len(r.log)-1].Header.Kind == sealKind
}

// end returns the sequence of the room's last message, or of its last record that is no seal; 0: the room has no such message.
func (r *simRoom) end(withSeal bool) uint64 {
	for i := len(r.log) - 1; i >= 0 && persistence.Seq(i+1) >= r.first; i-- {
		if withSeal || r.log[i].Header.Kind != sealKind {
			return r.places[i]
		}
	}
	return 0
}

// keep removes what came after a sequence of the stream.
func (r *simRoom) keep(to uint64) {
	n := len(r.places)
	for n > 0 && r.places[n-1] > to {
		n--
	}
	r.log, r.places = slices.Clone(r.log[:n]), slices.Clone(r.places[:n])
}

// purgeBelow removes what lies below a sequence of the stream.
func (r *simRoom) purgeBelow(place uint64) {
	for int(r.first) <= len(r.places) && r.places[r.first-1] < place {
		r.first++
	}
}

// simFence is the condition of an append: the sequence of the last message under a filter.
type simFence struct {
	filter simFilter
	last   uint64
}

// simFilter is a room's wildcard filter, its subject for records alone, or, without a room, the whole stream.
type simFilter struct {
	room    *simRoom
	literal bool
}

// partition is the stream beside the simulated shard's own records.
type partition struct {
	sim        *sim
	rng        *rand.Rand // its own, so that neighbours do not change the weather
	last       uint64     // the stream's last sequence
	alone      bool       // the shard has the stream to itself
	replicated bool
	neighbours []*neighbour
	removed    bool // the shard's ended room
	floor      persistence.Seq

	inProcess map[simFilter]bool // proposed by the leader, not stored yet
	proposed  []*proposal
	applied   time.Duration // when the newest proposal will be stored

	// What a planted bug changes.
	fence  func(n *simNode, kind string, f simFence) simFence
	purge  func(r *simRoom, below persistence.Seq)
	remove func(r *simRoom)
	greedy bool // a node takes any acknowledgement that is later than what it expects for its own
}

// proposal is a message that the leader has compared and its followers have not acknowledged yet.
type proposal struct {
	room   *simRoom
	m      persistence.Message
	fence  simFence
	answer func(place uint64, err error)
}

// share makes the stream of a seed.
func (s *sim) share() {
	p := &s.part
	*p = partition{sim: s, rng: rand.New(rand.NewPCG(s.cfg.seed, 0x726f6f6d)), inProcess: map[simFilter]bool{}}
	p.alone, p.replicated = p.rng.IntN(4) == 0, p.rng.IntN(2) == 0
	p.purge = func(r *simRoom, below persistence.Seq) { r.first = max(r.first, below) }
	p.remove = func(r *simRoom) { r.first = max(r.first, persistence.Seq(len(r.log))) }
	if (s.cfg.ends > 0 || s.cfg.closes) && p.rng.IntN(2) == 0 {
		s.in(time.Second, s.removal)
	}
	if p.replicated {
		s.in(p.between(3*time.Second, 8*time.Second), p.elect)
	}
	if p.alone {
		return
	}
	for i := range 1 + p.rng.IntN(3) {
		x := &neighbour{part: p, id: i + 1, simRoom: &simRoom{first: 1}, floor: 1}
		p.neighbours = append(p.neighbours, x)
		s.in(p.pause(), x.live)
	}
}

func (p *partition) between(a, b time.Duration) time.Duration {
	return a + time.Duration(p.rng.Int64N(int64(b-a)))
}

func (p *partition) pause() time.Duration {
	return p.between(20*time.Millisecond, 150*time.Millisecond)
}

// delay is how long the stream's servers, or a neighbour's message, take.
func (p *partition) delay() time.Duration {
	if p.sim.cfg.slow > 0 && p.rng.IntN(40) == 0 {
		return p.between(20*time.Millisecond, 2*time.Second)
	}
	return p.between(200*time.Microsecond, 3*time.Millisecond)
}

// end returns the last sequence under a filter.
func (p *partition) end(f simFilter) uint64 {
	if f.room == nil {
		return p.last
	}
	return f.room.end(!f.literal)
}

// append is the stream's compare-and-append.
func (p *partition) append(r *simRoom, m persistence.Message, f simFence, answer func(place uint64, err error)) {
	if p.end(f.filter) != f.last || p.inProcess[f.filter] {
		answer(0, persistence.ErrConflict)
		return
	}
	if !p.replicated {
		answer(p.store(r, m), nil)
		return
	}
	x := &proposal{r, m, f, answer}
	p.proposed, p.inProcess[f.filter] = append(p.proposed, x), true
	p.applied = max(p.applied, p.sim.now+p.delay())
	p.sim.in(p.applied-p.sim.now, func() {
		if len(p.proposed) > 0 && p.proposed[0] == x {
			p.apply()
		}
	})
}

// apply stores the oldest proposal.
func (p *partition) apply() {
	x := p.proposed[0]
	p.proposed = p.proposed[1:]
	place := p.store(x.room, x.m)
	delete(p.inProcess, x.fence.filter)
	x.answer(place, nil)
}

// elect is a new leader. Whatever was proposed and not stored is stored before it compares anything, or is lost, and nobody
// hears of it.
func (p *partition) elect() {
	if p.sim.quiet {
		return
	}
	for lost := false; len(p.proposed) > 0; {
		p.proposed[0].answer = func(uint64, error) {}
		if lost = lost || p.rng.IntN(2) == 0; lost {
			p.proposed = p.proposed[1:]
		} else {
			p.apply()
		}
	}
	clear(p.inProcess)
	p.sim.in(p.between(3*time.Second, 8*time.Second), p.elect)
}

// store gives a message the stream's next sequence.
func (p *partition) store(r *simRoom, m persistence.Message) (place uint64) {
	p.sim.checkStored(r, m)
	p.last++
	r.log, r.places = append(r.log, m), append(r.places, p.last)
	return p.last
}

// checkStored checks a room's rules at the moment when the stream stores a message.
func (s *sim) checkStored(r *simRoom, m persistence.Message) {
	who := "the shard"
	if r != &s.simRoom {
		who = "a neighbour"
	}
	if r == &s.simRoom {
		s.checkLoss(m)
	}
	if r.sealed() && s.losses == 0 {
		s.fail("I11", "record %d (%s) of %s was appended behind the seal", m.Seq, m.Header.Kind, who)
	}
	if have := persistence.Seq(len(r.log)); m.Seq != have+1 && s.losses == 0 {
		s.fail("I4", "record %d (%s) of %s was appended after record %d", m.Seq, m.Header.Kind, who, have)
	}
}

// cut removes what came after a sequence of the stream. The sequences are given again.
func (p *partition) cut(to uint64) {
	p.last = to
	p.sim.keep(to)
	p.proposed = nil
	clear(p.inProcess)
	for _, x := range p.neighbours {
		x.keep(to)
		x.acked, x.next = min(x.acked, persistence.Seq(len(x.log))), nil // its operator accepts the loss at once
	}
}

// placeOf returns the sequence of a record in the stream. A seal in a partition has none: no writer expects it.
func (s *sim) placeOf(seq persistence.Seq) (place uint64, ok bool) {
	switch {
	case seq == 0:
		return 0, true
	case seq < s.first || seq > persistence.Seq(len(s.log)) || !s.part.alone && s.log[seq-1].Header.Kind == sealKind:
		return 0, false
	}
	return s.places[seq-1], true
}

// ours is the condition of the simulated shard's appends.
func (s *sim) ours(last uint64) simFence { return simFence{simFilter{room: &s.simRoom}, last} }

// removal waits until the room is sealed, and removes it.
func (s *sim) removal() {
	if s.sealed() {
		s.in(s.part.between(0, 3*time.Second), s.removeRoom)
		return
	}
	s.in(time.Second, s.removal)
}

// removeRoom is what becomes of the room once its log is sealed: only the seal stays in the stream, and the coordination service
// forgets it. Then a node comes that still takes the room for wanted.
func (s *sim) removeRoom() {
	if !s.sealed() || s.losses > 0 || s.part.removed {
		return
	}
	s.part.removed = true
	s.part.floor = persistence.Seq(len(s.log))
	s.part.remove(&s.simRoom)
	s.deltas, s.snaps = nil, nil
	s.coord.Standing = Standing{Revision: s.coord.Revision}
	n := &simNode{sim: s, id: fmt.Sprintf("n%d", len(s.nodes)+1)}
	s.nodes = append(s.nodes, n)
	n.boot()
}

// checkRemoved checks that a removed room stays removed.
func (s *sim) checkRemoved() {
	if s.part.removed && s.losses == 0 && s.coord.Halted != "" {
		s.fail("removed", "a node halts a room that is gone: %s", s.coord.Halted)
	}
}

// neighbour is another room of the stream, with an honest writer: it fences like the shard, purges, seals its log, is removed,
// and begins again as another room.
type neighbour struct {
	*simRoom
	part  *partition
	id    int
	acked persistence.Seq      // records that it knows to be stored
	floor persistence.Seq      // below which it has purged
	next  *persistence.Message // the one that is outstanding
	sent  time.Duration
}

// live does the next thing in a neighbour's life.
func (x *neighbour) live() {
	p := x.part
	p.sim.in(p.pause(), x.live)
	p.check()
	switch {
	case x.next != nil && p.sim.now < x.sent+time.Second:
		return
	case x.next != nil:
	case x.sealed():
		p.remove(x.simRoom)
		x.simRoom, x.acked, x.floor = &simRoom{first: 1}, 0, 1
		return
	case x.acked > 10 && p.rng.IntN(30) == 0:
		x.floor = max(x.floor, 1+persistence.Seq(p.rng.Uint64N(uint64(x.acked))))
		p.purge(x.simRoom, x.floor)
		return
	default:
		x.next = &persistence.Message{Seq: x.acked + 1, Body: fmt.Appendf(nil, "%d of %d at %s", x.acked+1, x.id, p.sim.now)}
		if x.acked > 20 && p.rng.IntN(30) == 0 {
			x.next.Header.Kind = sealKind
		}
	}
	x.send()
}

// send sends the outstanding record, perhaps twice.
func (x *neighbour) send() {
	p, room, m := x.part, x.simRoom, *x.next
	x.sent = p.sim.now
	f := simFence{filter: simFilter{room: room}}
	if x.acked > 0 {
		f.last = room.places[x.acked-1]
	}
	for range 1 + p.rng.IntN(8)/7 {
		p.sim.in(p.delay(), func() {
			p.append(room, m, f, func(place uint64, err error) {
				if x.simRoom != room || x.next == nil || x.next.Seq != m.Seq {
					return // a late copy
				}
				if err == nil || persistence.Seq(len(room.log)) >= m.Seq && string(room.log[m.Seq-1].Body) == string(m.Body) {
					x.acked, x.next = m.Seq, nil
					p.acknowledged(room.places[m.Seq-1])
				}
			})
		})
	}
}

// acknowledged is a neighbour's acknowledgement, on a connection that it shares with the shard's nodes.
func (p *partition) acknowledged(place uint64) {
	if !p.greedy {
		return
	}
	for _, n := range p.sim.nodes {
		if n.up && n.owner.out.active && n.owner.asked.Kind == ActionAppend && n.places[n.owner.asked.Expect] < place {
			n.places[n.owner.out.record.Seq] = place
			n.hear(n.life, Event{Kind: EventAppended, Op: n.owner.op})
		}
	}
}

// check checks that every room has what it stored and did not purge.
func (p *partition) check() {
	s := p.sim
	for _, x := range p.neighbours {
		switch {
		case persistence.Seq(len(x.log)) < x.acked:
			s.fail("I12", "room %d has %d records, %d were acknowledged", x.id, len(x.log), x.acked)
		case x.first > x.floor:
			s.fail("I12", "room %d begins with record %d, it purged those below %d", x.id, x.first, x.floor)
		}
	}
	if s.first > max(p.floor, 1) {
		s.fail("I12", "the shard's log begins with record %d, it purged those below %d", s.first, p.floor)
	}
}
