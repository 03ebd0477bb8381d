package shard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// simNode is a process: it boots, runs an Owner, is paused, crashes and boots again.
type simNode struct {
	sim  *sim
	id   string
	life int  // counts crashes; messages to an earlier life are dropped
	up   bool // false: it will boot
	skew bool // this build computes some ticks differently, from the next life on
	new  bool // this build has another schema, from the next life on

	gone        bool // it exited for good
	rejoin      Rejoin
	ownedAt     time.Duration // when the owner of this life began to own; 0: it does not
	pausedUntil time.Duration
	drift       float64 // of its clock
	owner       *Owner
	world       *simWorld
	lease       int64
	tickDue     bool
	ticks       []persistence.TickRecord // proposed
	fenced      bool                     // evidence of fencing has reached it

	appends map[persistence.Hash]persistence.Seq // what this life sent, and what each expects (I6)
	refused map[persistence.Hash]bool            // of these, what the log had no room for
	places  map[persistence.Seq]uint64           // where this life has seen records in the stream

	ring     *ring // what the delta stream lacks
	draining bool
	fence    uint64 // of the delta stream, as this node knows it
	fenceOK  bool
	high     persistence.Seq
	odometer odometer
	loading  string // snapshot that was asked for last
	loads    int    // times in a row
}

// clock is the node's own time.
func (n *simNode) clock() time.Duration {
	return time.Duration(float64(n.sim.now) * (1 + n.drift))
}

// boot starts a new process.
func (n *simNode) boot() {
	if n.up || n.gone {
		return
	}
	n.drift = (n.sim.rng.Float64() - 0.5) * 0.02
	n.lease = n.sim.rng.Int64() | 1
	n.rejoin = Rejoin{}
	n.live()
}

// live starts a new owner in the process, on the lease that it has.
func (n *simNode) live() {
	s := n.sim
	n.life++
	n.up, n.fenced, n.draining, n.fenceOK, n.tickDue, n.ownedAt = true, false, false, false, false, 0
	n.ring, n.high = newRing(64, 1<<20), 0
	n.appends, n.refused, n.places = map[persistence.Hash]persistence.Seq{}, map[persistence.Hash]bool{}, map[persistence.Seq]uint64{}
	n.world = &simWorld{node: n, skewed: n.skew, schema: []byte(`{}`)}
	if n.new {
		n.world.schema = []byte(`{"components":[{"name":"new"}]}`)
	}
	cfg := OwnerConfig{Node: n.id, RetryAfter: 100 * time.Millisecond, PurgeLog: s.cfg.seed%2 == 0, Genesis: simGenesis(n.world.schema)}
	if s.cfg.seed%3 == 0 {
		cfg.Rebuild = 1 // the newest snapshot counts, whatever the delta stream lacks
	}
	n.owner = NewOwner(cfg, n.world)
	n.keepAlive(n.life)
	life := n.life
	s.in(20*time.Millisecond, func() { n.hear(life, Event{Kind: EventStart}) })
	s.in(100*time.Millisecond, func() { n.everySecond(life) })
}

func simGenesis(schema []byte) persistence.Genesis {
	return persistence.Genesis{Lineage: simLineage, Cluster: "sim", Shard: "main", Game: "sim", TickRate: 10, Schema: schema}
}

// crash ends a life; the next one begins later.
func (n *simNode) crash() {
	if !n.up {
		return
	}
	n.up = false
	n.life++
	n.sim.in(n.sim.between(10*time.Millisecond, 3*time.Second), n.boot)
}

// misfortune visits a node every second.
func (n *simNode) misfortune() {
	s := n.sim
	if s.chance(s.cfg.crash) {
		n.crash()
	}
	if s.chance(s.cfg.pause) {
		n.pausedUntil = max(n.pausedUntil, s.now+s.between(50*time.Millisecond, 5*time.Second))
	}
	if n.up && !s.quiet && s.rng.IntN(100) == 0 {
		n.hear(n.life, Event{Kind: EventStop})
	}
	s.in(s.between(500*time.Millisecond, 1500*time.Millisecond), n.misfortune)
}

// hear passes the node an event, at once or once it is no longer paused.
func (n *simNode) hear(life int, ev Event) {
	s := n.sim
	if life != n.life || !n.up {
		return
	}
	if s.now < n.pausedUntil {
		s.in(n.pausedUntil-s.now+time.Duration(s.rng.IntN(1000)), func() { n.hear(life, ev) })
		return
	}
	ev.Now = n.clock()
	if ev.Kind == EventStored {
		n.odometer.stored(ev.Snapshot.Tick)
	}
	if ev.Kind == EventMessage && n.owner.phase == PhaseOwn && n.owner.waiting && ev.Op == n.owner.op && ev.Err == nil &&
		persistence.HashOf(ev.Message.Body) != n.owner.out.hash {
		n.fenced = true
	}
	n.perform(n.step(ev))
}

// step calls the owner's Step. A mutant sees each event first and may change it or, returning false, handle it.
func (n *simNode) step(ev Event) []Action {
	o, mutant := n.owner, n.sim.cfg.mutant
	if mutant == nil || o.phase == PhaseStopped {
		return o.Step(ev)
	}
	o.actions = o.actions[:0]
	o.now = max(o.now, ev.Now)
	ev, goOn := mutant(o, ev)
	if !goOn {
		return o.actions
	}
	return o.Step(ev)
}

// keepAlive renews the lease; what counts for the node is when the request was sent.
func (n *simNode) keepAlive(life int) {
	s := n.sim
	if life != n.life {
		return
	}
	if s.now < n.pausedUntil {
		s.in(n.pausedUntil-s.now, func() { n.keepAlive(life) })
		return
	}
	sent := n.clock()
	lease := n.lease
	if !s.chance(s.cfg.loss) {
		s.in(s.delay(), func() {
			expiry, known := s.coord.leases[lease]
			if known && s.now >= expiry { // it ran out: the node takes another one
				s.in(s.delay(), func() {
					if life == n.life && n.lease == lease {
						n.lease = s.rng.Int64() | 1
					}
				})
				return
			}
			s.coord.leases[lease] = s.now + simTTL
			if !s.chance(s.cfg.loss) {
				s.in(s.delay(), func() {
					n.hear(life, Event{Kind: EventLease, Lease: Held{ID: lease, Until: sent + simTTL - simMargin}})
				})
			}
		})
	}
	s.in(simTTL/4, func() { n.keepAlive(life) })
}

// perform performs the owner's actions.
func (n *simNode) perform(actions []Action) {
	s := n.sim
	life, world := n.life, n.world
	for _, a := range actions {
		s.checkLoad(n, &a)
		switch a.Kind {
		case ActionTimer:
			s.in(max(0, time.Duration(float64(a.At)/(1+n.drift))-s.now)+time.Microsecond, func() { n.hear(life, Event{Kind: EventTimer}) })
		case ActionStanding:
			s.rpc(n, a.Op, EventStanding, func() Event { return Event{Standing: s.coord.read(s.now)} })
		case ActionAwait:
			n.await(life, a.Op, a.Standing)
		case ActionClaim:
			s.rpc(n, a.Op, EventClaimed, func() Event { return Event{Granted: s.claim(world, a.Bid)} })
		case ActionEvidence:
			s.rpc(n, a.Op, EventEvidence, func() Event { return Event{Delta: s.lastDelta(), Snapshots: s.listSnapshots()} })
		case ActionTail:
			s.rpc(n, a.Op, EventTail, func() Event { return Event{Tail: s.tail()} })
		case ActionRecorded:
			s.rpc(n, a.Op, EventRecorded, func() Event {
				r, err := persistence.ReadRecorded(context.Background(), simLog{s}, simSnapshots{s})
				return Event{Recorded: r, Err: err}
			})
		case ActionGet, ActionRead:
			n.get(a)
		case ActionLoad:
			s.rpc(n, a.Op, EventLoaded, func() Event { snap, err := s.load(a.Info); return Event{Snapshot: snap, Err: err} })
		case ActionDelta:
			s.rpc(n, a.Op, EventDelta, func() Event { return Event{Delta: s.delta(a.Tick)} })
		case ActionAppend:
			n.append(a)
		case ActionNote:
			s.rpc(n, a.Op, EventNoted, func() Event {
				s.checkSchema(world, a.Note.Halted != "", "halts the shard")
				return Event{Err: s.coord.note(a.Note)}
			})
		case ActionGap:
			g := a.Gap
			n.ring.add(persistence.Delta{Lineage: simLineage, Epoch: n.owner.Epoch(), RecordSeq: n.owner.Last(), Tick: g.ToTick, Part: 1, Parts: 1, Gap: &g})
		case ActionOwn:
			s.fences++
			n.ownedAt = s.now
			n.high = a.Seq
			way := Mileage{Ticks: n.world.tick - n.owner.Proven().Tick}
			s.longest = max(s.longest, way.Ticks)
			if n.odometer = newOdometer(s.cfg.rule, way); s.cfg.forgets {
				n.odometer = newOdometer(s.cfg.rule, Mileage{})
			}
			n.scheduleTick(life)
		case ActionRelease:
			n.release(a)
		case ActionMakeSpace:
			s.rpc(n, a.Op, EventPurged, func() Event { s.purge(a.Seq); return Event{} })
		case ActionPurge:
			s.in(s.delay(), func() { s.purge(a.Seq) })
		case ActionHandOver:
			epoch := a.Epoch
			s.in(s.delay(), func() { s.coord.release(n.id, epoch) })
		case ActionAlarm:
			s.alarms++
		case ActionStop:
			n.stopped(a.Err)
			return
		}
	}
}

// await polls, as a watch that is sometimes late does.
func (n *simNode) await(life int, op uint64, st Standing) {
	s := n.sim
	if life != n.life {
		return
	}
	if now := s.coord.read(s.now); st.Owner != "" && now.Owner == "" || now.Halted != st.Halted {
		s.in(s.delay(), func() { n.hear(life, Event{Kind: EventFree, Op: op}) })
		return
	}
	s.in(s.between(20*time.Millisecond, 300*time.Millisecond), func() { n.await(life, op, st) })
}

// append sends a record and checks I6: no other record of this node can still match. A seal may take the place of a record that the
// log had no room for; a copy of that one may still be under way, but only one of the two can be stored.
func (n *simNode) append(a Action) {
	s := n.sim
	m := a.Message
	m.Seq, m.Body = a.Expect+1, append([]byte(nil), m.Body...) // the owner uses its buffer again
	hash, world := persistence.HashOf(m.Body), n.world
	for other, expect := range n.appends {
		instead := m.Header.Kind == persistence.KindSeal.String() && expect == a.Expect && n.refused[other]
		if other != hash && persistence.Seq(len(s.log)) <= expect && s.losses == 0 && !instead {
			s.fail("I6", "node %s sends record %d while record %d is outstanding", n.id, a.Expect+1, expect+1)
		}
	}
	n.appends[hash] = a.Expect
	place, known := n.places[a.Expect]     // a record that it has read or written
	if !known && a.Expect > 0 && s.eager { // a mutant, which does not know yet: it guesses, or takes the last one that it knows
		place, known = n.places[a.Expect-1]+uint64(s.rng.IntN(2)), true
	}
	f := s.ours(place)
	if s.part.fence != nil {
		f = s.part.fence(n, m.Header.Kind, f)
	}
	s.ask(n, a.Op, EventAppended, func(answer func(Event, func())) {
		if !known && a.Expect > 0 {
			answer(Event{Err: persistence.ErrConflict}, nil)
			return
		}
		s.append(m, f, func(place uint64, err error) {
			s.checkSchema(world, err == nil, "writes a record")
			answer(Event{Err: err}, func() {
				if n.refused[hash] = errors.Is(err, persistence.ErrFull); err == nil {
					n.places[m.Seq] = place
				}
			})
		})
	})
	if got := persistence.Seq(len(s.log)); a.Expect > got && s.lost == 0 {
		s.fail("I6", "node %s expects sequence %d of a log with %d", n.id, a.Expect, got)
	}
}

// get reads a record and remembers where it is.
func (n *simNode) get(a Action) {
	s := n.sim
	s.ask(n, a.Op, EventMessage, func(answer func(Event, func())) {
		m, err := s.get(a.Seq)
		place, ok := s.placeOf(a.Seq)
		answer(Event{Message: m, Err: err}, func() {
			if ok {
				n.places[a.Seq] = place
			}
		})
	})
}

// release releases a record's effects, and puts its deltas into the ring.
func (n *simNode) release(a Action) {
	s := n.sim
	s.commits++
	s.committed = s.now
	s.checkRelease(n, a.Seq, persistence.HashOf(a.Message.Body), n.ticks)
	for _, t := range n.ticks {
		n.ring.add(persistence.Delta{
			Tick: t.Tick, Checksum: t.Checksum, Epoch: a.Epoch, RecordSeq: a.Seq,
			Lineage: simLineage, Part: 1, Parts: 1, Body: binary.BigEndian.AppendUint64(nil, t.Checksum),
		})
	}
	n.high = a.Seq
	if s.chance(0.2) {
		life, tail := n.life, s.tail()
		s.in(s.delay(), func() { n.hear(life, Event{Kind: EventUsage, Tail: tail}) })
	}
	n.odometer.drive(Mileage{Ticks: uint64(len(n.ticks))})
	if n.odometer.due(n.world.tick) {
		n.odometer.attempt(n.world.tick)
		n.snapshot(a.Seq, a.Epoch)
	}
}

// snapshot stores the world of the record that was just released.
func (n *simNode) snapshot(seq persistence.Seq, epoch persistence.Epoch) {
	s := n.sim
	snap := persistence.Snapshot{
		Lineage: simLineage, Cluster: "sim", Shard: "main", Seq: seq, Epoch: epoch, Tick: n.world.tick, Checksum: n.world.sum,
		Chain: n.owner.Chain(), Schema: n.world.schema, Body: binary.BigEndian.AppendUint64(nil, n.world.sum),
	}
	life := n.life
	s.in(s.delay(), func() {
		if s.rot {
			s.rot, snap.Body = false, binary.BigEndian.AppendUint64(nil, s.rng.Uint64())
			for _, other := range s.nodes {
				other.crash()
			}
		}
		s.snaps = append(s.snaps, snap)
		if !s.chance(s.cfg.loss) {
			s.in(s.delay(), func() { n.hear(life, Event{Kind: EventStored, Snapshot: &snap}) })
		}
	})
}

// simLimit is what the log of every third seed may hold, in bytes.
const simLimit = 6000

func (s *sim) purge(below persistence.Seq) {
	if below > persistence.Seq(len(s.log)) && s.losses == 0 {
		s.fail("I8", "purge below %d of a log that ends at %d", below, len(s.log))
	}
	fits := 0
	for _, snap := range s.snaps {
		if m, err := s.get(snap.Seq); err == nil && snap.Seq >= below && persistence.HashOf(m.Body) == snap.Chain {
			fits++
		}
	}
	if fits < 2 && s.losses == 0 && !s.part.removed { // a purge that was under way while the room was removed finds nothing
		s.fail("I8", "purge below %d leaves %d snapshots that fit the log", below, fits)
	}
	s.part.floor = max(s.part.floor, below)
	s.part.purge(&s.simRoom, below)
}

// scheduleTick schedules the next tick, while the node owns the shard.
func (n *simNode) scheduleTick(life int) {
	n.sim.in(simTick, func() { n.tick(life) })
}

// tick simulates one or more ticks and proposes their record.
func (n *simNode) tick(life int) {
	s := n.sim
	if life != n.life || !n.up {
		return
	}
	if s.now < n.pausedUntil {
		s.in(n.pausedUntil-s.now, func() { n.tick(life) })
		return
	}
	switch {
	case n.owner.Phase() == PhaseStopped:
		return
	case !n.owner.Ready() && !(s.eager && n.owner.Phase() == PhaseOwn):
		s.in(simTick/4, func() { n.tick(life) })
		return
	}
	n.ticks = nil
	for range 1 + s.rng.IntN(3) {
		frame := binary.BigEndian.AppendUint64([]byte(n.id), s.rng.Uint64())
		n.world.step(frame, false)
		t := persistence.TickRecord{Tick: n.world.tick, Frame: frame, Checksum: n.world.sum}
		if s.cfg.ends > 0 && t.Tick >= s.cfg.ends {
			t.Outbox = []ecs.Message{{To: ecs.EndAddress, Name: "result", Payload: []byte("won")}}
		}
		if n.ticks = append(n.ticks, t); t.Outbox != nil {
			break
		}
	}
	n.hear(life, Event{Kind: EventPropose, Ticks: n.ticks})
	n.scheduleTick(life)
}

// everySecond notes the high-water mark, and drains the ring into the delta stream.
func (n *simNode) everySecond(life int) {
	s := n.sim
	if life != n.life || !n.up {
		return
	}
	if n.owner.Phase() == PhaseOwn && s.now >= n.pausedUntil {
		mark := persistence.Mark{Seq: n.high, Epoch: n.owner.Epoch()}
		s.in(s.delay(), func() {
			if err := s.coord.note(Note{High: mark}); err != nil && !s.chance(s.cfg.loss) {
				s.in(s.delay(), func() { n.hear(life, Event{Kind: EventOvertaken, Err: err}) })
			}
		})
		n.drain(life)
	}
	s.in(300*time.Millisecond, func() { n.everySecond(life) })
}

// drain publishes the oldest delta of the ring, then the next, by the real drain's rules: on a conflict, read how far the stream
// has come, drop what it has, continue.
func (n *simNode) drain(life int) {
	s := n.sim
	oldest := n.ring.oldest(nil, 1)
	if life != n.life || len(oldest) == 0 || n.draining {
		return
	}
	n.draining = true
	d, fence, known := oldest[0], n.fence, n.fenceOK
	d.Body = append([]byte(nil), d.Body...)
	s.in(s.delay(), func() {
		err := persistence.ErrConflict // the first time we only look
		if known {
			err = s.publish(fence, d)
		}
		last, lines := s.lastDelta(), s.lines
		s.in(s.delay(), func() {
			if life != n.life {
				return
			}
			n.draining, n.fenceOK = false, true
			if n.fence = fence + 1; err == nil {
				n.ring.drop(1)
			} else if n.fence = lines; last != nil {
				n.ring.published(*last)
			}
			n.drain(life)
		})
	})
}

// stopped handles the end of this owner. Rejoin decides what the process does next.
func (n *simNode) stopped(err error) {
	s := n.sim
	why := "stopped"
	for _, reason := range []error{persistence.ErrLost, persistence.ErrDiverged, ErrFenced, ErrLeaseLost, ErrHalted, ErrOtherSchema, ErrRefused, ErrEnded} {
		if errors.Is(err, reason) {
			why = reason.Error()
			break
		}
	}
	s.stops[why]++
	n.up = false
	n.life++
	ended := Ended{Err: err}
	if n.ownedAt > 0 {
		ended.Owned = s.now - n.ownedAt
	}
	next := n.rejoin.Next(ended)
	if s.cfg.rejoin != nil {
		next = s.cfg.rejoin(ended, next)
	}
	switch {
	case err == nil && !next.Exit:
		s.fail("stop", "node %s was asked to stop and runs on", n.id)
	case err == nil: // an operator stopped it, and starts it again
		s.in(s.between(200*time.Millisecond, 2*time.Second), n.boot)
	case next.Exit && (errors.Is(err, ErrOtherSchema) || errors.Is(err, ErrEnded) && (s.sealed() || s.losses > 0)):
		n.gone = true
	case next.Exit:
		n.gone = true
		s.fail("going on", "node %s exits, though a later attempt could serve the shard: %v", n.id, err)
	default:
		life := n.life
		s.in(next.After, func() {
			if n.life == life {
				n.live()
			}
		})
	}
}

// simWorld is the smallest world: its state is one number, moved by the frames.
type simWorld struct {
	node   *simNode
	tick   uint64
	sum    uint64
	skewed bool
	schema []byte
}

func (w *simWorld) step(frame []byte, again bool) {
	w.tick++
	h := persistence.HashOf(binary.BigEndian.AppendUint64(append([]byte(nil), frame...), w.sum+w.tick))
	w.sum = binary.BigEndian.Uint64(h[:]) | 1
	if w.skewed && again && w.sum%16 == 5 {
		w.sum += 2
	}
}

func (w *simWorld) Fits(r *persistence.Recorded) error {
	if len(r.Schema) > 0 && !bytes.Equal(r.Schema, w.schema) {
		return ErrOtherSchema
	}
	return nil
}

func (w *simWorld) Begin(g *persistence.Genesis) error {
	w.tick, w.sum = 0, 0
	w.node.ring.clear()
	if g.Game != "sim" {
		return ErrRefused
	}
	return nil
}

func (w *simWorld) Restore(snap *persistence.Snapshot) error {
	if len(snap.Body) != 8 {
		return errBad
	}
	w.tick, w.sum = snap.Tick, binary.BigEndian.Uint64(snap.Body)
	w.node.ring.clear()
	return nil
}

func (w *simWorld) Resimulate(seq persistence.Seq, t *persistence.TickRecord) error {
	w.step(t.Frame, true)
	if w.tick != t.Tick || w.sum != t.Checksum {
		return &persistence.DivergedError{Seq: seq, Tick: t.Tick, Recorded: t.Checksum, Computed: w.sum, Reason: "checksum"}
	}
	return nil
}

func (w *simWorld) Apply(d *persistence.Delta) error {
	sum := binary.BigEndian.Uint64(d.Body)
	if d.Tick != w.tick+1 || sum != d.Checksum {
		return fmt.Errorf("%w: delta of tick %d at tick %d", errBad, d.Tick, w.tick)
	}
	w.tick, w.sum = d.Tick, sum
	return nil
}

func (w *simWorld) Explain() error { return nil }

func (w *simWorld) Keep(seq persistence.Seq, epoch persistence.Epoch) {
	w.node.ring.add(persistence.Delta{
		Tick: w.tick, Checksum: w.sum, Epoch: epoch, RecordSeq: seq,
		Lineage: simLineage, Part: 1, Parts: 1, Body: binary.BigEndian.AppendUint64(nil, w.sum),
	})
}

func (w *simWorld) Schema() []byte   { return w.schema }
func (w *simWorld) Tick() uint64     { return w.tick }
func (w *simWorld) Checksum() uint64 { return w.sum }
