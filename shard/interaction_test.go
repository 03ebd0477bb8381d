package shard

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// TestInteractions runs the stories in testdata/*.txt. Each line of a story is one thing that happens to an owner; the lines
// below it are the owner's actions, the stores' answers, and the owner's phase after that. -rewrite writes the actual outcome
// into the files.
//
//	owner NODE                  a new process; its lease lasts 10 s
//	start NODE                  the owner begins
//	propose NODE [ticks=N]      the node has simulated N ticks
//	propose NODE ends           in the last of them the game ends its room
//	close NODE                  an operator closes the room
//	stop NODE, crash NODE       the node is asked to stop; it dies at once, and its lease runs out
//	renew NODE                  a keepalive is answered
//	time D                      D passes; due timers fire
//	lose answer|request         the next append is stored and its answer lost, or the append itself is lost
//	hold, deliver               the next append stays in flight; it arrives
//	race                        the held append arrives right before the next one
//	sleep NODE, wake NODE       the process receives nothing; it receives events again
//	snapshot NODE               the world of the last record is stored and proven
//	delta                       the delta of the last record is published
//	log full|ok|cut SEQ         the log accepts no records, accepts them again, loses all records above SEQ
//	neighbour [N]               N records of another room are stored in the same stream
//	remove                      the room's records are removed, but for the seal, and what etcd knows of it
//	accept, lift                the operator accepts the loss, lifts the halt
//	show                        prints the log and the coordination service's state
//
// Once a neighbour writes, records and expectations are followed by their sequences in the stream.
func TestInteractions(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &stage{sim: newSim(1, nil), owners: map[string]*actor{}, other: simRoom{first: 1}}
		s.part.replicated, s.part.alone = false, false
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			if err := s.run(d); err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			return s.out.String()
		})
	})
}

// stage is the setting of a story: the simulator's stores, which answer at once unless the story says otherwise.
type stage struct {
	*sim
	out     strings.Builder
	owners  map[string]*actor
	now     time.Duration
	refuses bool          // the log is full
	mood    string        // of the log for the next append: "", "lose answer", "lose request", "hold", "race"
	held    func() string // the append in flight
	other   simRoom       // a neighbour in the stream
	crowded bool          // it writes
}

// actor is a process with one owner.
type actor struct {
	id    string
	owner *Owner
	world *simWorld
	lease int64
	timer time.Duration // 0: none
	said  string        // the last phase printed

	places map[persistence.Seq]uint64 // of the records that it has read or written, in the stream

	asleep bool
}

const stageLease = 10 * time.Second

func (s *stage) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *stage) run(d *datadriven.TestData) error {
	arg := func(i int) string {
		if i < len(d.CmdArgs) {
			return d.CmdArgs[i].Key
		}
		return ""
	}
	a := s.owners[arg(0)]
	switch d.Cmd {
	case "owner":
		s.boot(arg(0))
		return nil
	case "start", "propose", "close", "stop", "crash", "renew", "snapshot", "sleep", "wake":
		if a == nil {
			return fmt.Errorf("there is no node %q", arg(0))
		}
	}
	switch d.Cmd {
	case "start":
		s.tell(a, Event{Kind: EventStart})
	case "propose":
		n, ends := 1, false
		for _, x := range d.CmdArgs {
			switch x.Key {
			case "ticks":
				n, _ = strconv.Atoi(x.Vals[0])
			case "ends":
				ends = true
			}
		}
		s.propose(a, n, ends)
	case "close":
		s.tell(a, Event{Kind: EventEnd, End: &persistence.Seal{Reason: persistence.EndClosed}})
	case "stop":
		s.tell(a, Event{Kind: EventStop})
	case "crash":
		delete(s.owners, a.id)
	case "renew":
		s.renewLease(a)
	case "time":
		return s.pass(arg(0))
	case "lose":
		s.mood = "lose " + arg(0)
	case "hold", "race":
		s.mood = d.Cmd
	case "sleep":
		a.asleep = true
	case "wake":
		a.asleep = false
		s.tell(a, Event{Kind: EventTimer})
	case "deliver":
		s.say("log: %s", s.held())
	case "snapshot":
		s.takeSnapshot(a)
	case "delta":
		m := s.log[len(s.log)-1]
		s.deltas = append(s.deltas, persistence.Delta{Lineage: simLineage, Epoch: m.Header.Epoch, RecordSeq: m.Seq, Tick: m.Header.LastTick, Checksum: m.Header.Checksum, Part: 1, Parts: 1})
	case "log":
		return s.change(arg(0), arg(1))
	case "accept":
		s.coord.Accepted = append(s.coord.Accepted, persistence.Mark{Seq: persistence.Seq(len(s.log)), Epoch: s.coord.Epoch})
		s.coord.Halted, s.coord.Attempt = "", Attempt{}
		s.wake()
	case "lift":
		s.coord.Halted, s.coord.Attempt = "", Attempt{}
		s.wake()
	case "neighbour":
		n, err := strconv.Atoi(cmp.Or(arg(0), "1"))
		if err != nil {
			return err
		}
		s.crowd(n)
	case "remove":
		s.part.remove(&s.simRoom)
		s.deltas, s.snaps, s.coord.Standing = nil, nil, Standing{}
	case "show":
		s.show()
	default:
		return fmt.Errorf("a story has no %q", d.Cmd)
	}
	return nil
}

// boot makes a process.
func (s *stage) boot(id string) {
	n := &simNode{sim: s.sim, id: id, ring: newRing(64, 1<<20)}
	a := &actor{id: id, world: &simWorld{node: n, schema: []byte(`{}`)}, lease: int64(len(s.coord.leases) + 1), places: map[persistence.Seq]uint64{}}
	a.owner = NewOwner(OwnerConfig{Node: id, Genesis: simGenesis(a.world.schema), RetryAfter: time.Second}, a.world)
	s.owners[id] = a
	s.renewLease(a)
}

func (s *stage) renewLease(a *actor) {
	s.coord.leases[a.lease] = s.now + stageLease
	s.tell(a, Event{Kind: EventLease, Lease: Held{ID: a.lease, Until: s.now + stageLease - time.Second}})
}

// tell passes an event to an owner, performs its actions, and passes on the answers until the owner waits.
func (s *stage) tell(a *actor, ev Event) {
	for more := true; more; {
		ev.Now = s.now
		ev, more = s.perform(a, a.owner.Step(ev))
	}
	where := a.owner.Phase().String()
	if a.owner.Outstanding() {
		where += fmt.Sprintf(", record %d outstanding", a.owner.out.record.Seq)
	}
	if where != a.said {
		s.say("%s is in phase %s", a.id, where)
		a.said = where
	}
}

// perform performs actions and returns the answer to the request among them.
func (s *stage) perform(a *actor, actions []Action) (answer Event, more bool) {
	for i := range actions {
		x := &actions[i]
		switch x.Kind {
		case ActionTimer:
			a.timer = x.At
			s.say("%s: timer in %s", a.id, x.At-s.now)
		case ActionOwn:
			s.say("%s: own, epoch %d, after record %d", a.id, x.Epoch, x.Seq)
		case ActionRelease:
			s.say("%s: release record %d", a.id, x.Seq)
		case ActionFound:
			s.say("%s: found record %d", a.id, x.Seq)
		case ActionGap:
			s.say("%s: gap, ticks %d to %d: %s", a.id, x.Gap.FromTick, x.Gap.ToTick, x.Gap.Reason)
		case ActionPurge:
			s.say("%s: purge below %d", a.id, x.Seq)
		case ActionHandOver:
			s.say("%s: hand over epoch %d", a.id, x.Epoch)
			s.coord.release(a.id, x.Epoch)
		case ActionAlarm:
			s.say("%s: alarm: %v", a.id, x.Err)
		case ActionStop:
			s.say("%s: stop: %v", a.id, x.Err)
			a.timer = 0
		default:
			a.timer = 0
			answer, more = s.answer(a, x)
		}
	}
	return answer, more
}

// answer asks a store; more is false if nothing answers now.
func (s *stage) answer(a *actor, x *Action) (ev Event, more bool) {
	ev, more = Event{Op: x.Op}, true
	switch x.Kind {
	case ActionStanding:
		ev.Kind, ev.Standing = EventStanding, s.coord.read(s.now)
		s.say("%s: standing? owner %q, epoch %d, high %s", a.id, ev.Standing.Owner, ev.Standing.Epoch, mark(ev.Standing.High))
	case ActionAwait:
		s.say("%s: await the end of owner %q, halt %q", a.id, x.Standing.Owner, x.Standing.Halted)
		more = false
	case ActionClaim:
		ev.Kind, ev.Granted = EventClaimed, s.coord.claim(s.now, x.Bid)
		s.say("%s: claim epoch %d: granted %v", a.id, x.Bid.Epoch, ev.Granted)
	case ActionEvidence:
		ev.Kind, ev.Delta, ev.Snapshots = EventEvidence, s.lastDelta(), s.listSnapshots()
		s.say("%s: evidence? %s", a.id, knows(ev.Delta, ev.Snapshots))
	case ActionTail:
		ev.Kind, ev.Tail = EventTail, s.tail()
		s.say("%s: tail? record %d of epoch %d, tick %d", a.id, ev.Tail.Last, ev.Tail.Epoch, ev.Tail.Tick)
	case ActionRecorded:
		ev.Kind = EventRecorded
		ev.Recorded, ev.Err = persistence.ReadRecorded(context.Background(), simLog{s.sim}, simSnapshots{s.sim})
		s.say("%s: recorded? build of epoch %d", a.id, ev.Recorded.Epoch)
	case ActionGet, ActionRead:
		ev.Kind = EventMessage
		if ev.Message, ev.Err = s.get(x.Seq); ev.Err == nil {
			a.places[x.Seq], _ = s.placeOf(x.Seq)
		}
		s.say("%s: %s record %d: %s", a.id, x.Kind, x.Seq, found(ev.Message, ev.Err))
	case ActionLoad:
		ev.Kind = EventLoaded
		ev.Snapshot, ev.Err = s.load(x.Info)
		s.say("%s: load snapshot of record %d", a.id, x.Info.Seq)
	case ActionDelta:
		ev.Kind, ev.Delta = EventDelta, s.delta(x.Tick)
		s.say("%s: delta of tick %d: %v", a.id, x.Tick, ev.Delta != nil)
	case ActionNote:
		ev.Kind, ev.Err = EventNoted, s.coord.note(x.Note)
		s.say("%s: note %s: %v", a.id, noted(&x.Note), orFine(ev.Err))
	case ActionMakeSpace:
		ev.Kind = EventPurged
		s.say("%s: purge below %d, before the fence", a.id, x.Seq)
	case ActionAppend:
		return s.store(a, x)
	default:
		panic("the stage does not know " + x.Kind.String())
	}
	return ev, more
}

// store is the log's answer to an append.
func (s *stage) store(a *actor, x *Action) (ev Event, more bool) {
	m, expect, mood := x.Message, x.Expect, s.mood
	m.Seq = expect + 1
	place := a.places[expect]
	fence := s.ours(place)
	store := func() (fate any, err error) {
		s.append(m, fence, func(at uint64, e error) {
			if fate, err = fmt.Sprintf("stored%s", s.at(" as %d", at)), e; mood == "" && err == nil {
				a.places[m.Seq] = at
			}
		})
		if err != nil {
			fate = err
		}
		return fate, err
	}
	m.Body = append([]byte(nil), m.Body...)
	s.mood = ""
	what := fmt.Sprintf("append record %d (%s)%s", expect+1, contents(m), s.at(", expects %d", place))
	if mood == "race" {
		s.say("log: %s", s.held())
	}
	ev = Event{Kind: EventAppended, Op: x.Op}
	switch {
	case mood == "hold":
		s.held = func() string {
			fate, _ := store()
			return fmt.Sprintf("%s of %s arrives: %v", what, a.id, fate)
		}
		s.say("%s: %s: on its way", a.id, what)
		ev.Err = persistence.ErrAmbiguous
	case mood == "lose request":
		s.say("%s: %s: lost", a.id, what)
		ev.Err = persistence.ErrAmbiguous
	case mood == "lose answer":
		fate, _ := store()
		s.say("%s: %s: %v, and the answer is lost", a.id, what, fate)
		ev.Err = persistence.ErrAmbiguous
	case s.refuses:
		ev.Err = persistence.ErrFull
		s.say("%s: %s: %v", a.id, what, ev.Err)
	default:
		var fate any
		fate, ev.Err = store()
		s.say("%s: %s: %v", a.id, what, fate)
	}
	return ev, true
}

// propose simulates ticks and has them committed.
func (s *stage) propose(a *actor, n int, ends bool) {
	var ticks []persistence.TickRecord
	for range n {
		frame := binary.BigEndian.AppendUint64([]byte(a.id), a.world.tick)
		a.world.step(frame, false)
		ticks = append(ticks, persistence.TickRecord{Tick: a.world.tick, Frame: frame, Checksum: a.world.sum})
	}
	if ends {
		ticks[n-1].Outbox = []ecs.Message{{To: ecs.EndAddress, Name: "result", Payload: []byte("won")}}
	}
	s.tell(a, Event{Kind: EventPropose, Ticks: ticks})
}

// pass advances the time and tells owners whose timer has fired or whose lease has run out.
func (s *stage) pass(d string) error {
	span, err := time.ParseDuration(d)
	if err != nil {
		return err
	}
	s.now += span
	for _, id := range []string{"a", "b", "c"} {
		if a := s.owners[id]; a != nil && !a.asleep {
			s.tell(a, Event{Kind: EventTimer})
		}
	}
	s.wake()
	return nil
}

// wake sends waiting owners the events that they wait for.
func (s *stage) wake() {
	for _, id := range []string{"a", "b", "c"} {
		a := s.owners[id]
		if a == nil || a.asleep || !a.owner.waiting || a.owner.asked.Kind != ActionAwait {
			continue
		}
		st := a.owner.asked.Standing
		if now := s.coord.read(s.now); st.Owner != now.Owner || st.Halted != now.Halted {
			s.tell(a, Event{Kind: EventFree, Op: a.owner.op})
		}
	}
}

func (s *stage) takeSnapshot(a *actor) {
	snap := persistence.Snapshot{
		Lineage: simLineage, Cluster: "sim", Shard: "main", Seq: a.owner.Last(), Epoch: a.owner.Epoch(), Tick: a.world.tick, Checksum: a.world.sum,
		Chain: a.owner.Chain(), Schema: a.world.schema, Body: binary.BigEndian.AppendUint64(nil, a.world.sum),
	}
	s.snaps = append(s.snaps, snap)
	s.tell(a, Event{Kind: EventStored, Snapshot: &snap})
}

func (s *stage) change(how, seq string) error {
	switch how {
	case "full", "ok":
		s.refuses = how == "full"
	case "cut":
		n, err := strconv.Atoi(seq)
		if err != nil || n > len(s.log) {
			return errors.New("log cut SEQ")
		}
		s.part.cut(s.places[n-1])
	default:
		return fmt.Errorf("a log is not %q", how)
	}
	return nil
}

func (s *stage) show() {
	for i, m := range s.log {
		gone := ""
		if m.Seq < s.first {
			gone = ", removed"
		}
		s.say("record %d%s: %s%s", m.Seq, s.at(" at %d", s.places[i]), contents(m), gone)
	}
	st := s.coord.read(s.now)
	s.say("owner %q, epoch %d, high %s, halted %q", st.Owner, st.Epoch, mark(st.High), st.Halted)
}

// crowd stores records of a neighbour.
func (s *stage) crowd(n int) {
	s.crowded = true
	for range n {
		last := persistence.Seq(len(s.other.log))
		s.part.append(&s.other, persistence.Message{Seq: last + 1}, simFence{simFilter{room: &s.other}, s.other.end(true)}, func(at uint64, _ error) {
			s.say("neighbour: record %d: stored as %d", last+1, at)
		})
	}
}

// at is a sequence of the stream, in stories with a neighbour.
func (s *stage) at(format string, place uint64) string {
	if !s.crowded {
		return ""
	}
	return fmt.Sprintf(format, place)
}

func contents(m persistence.Message) string {
	h := m.Header
	switch {
	case h.Kind == "seal":
		r, err := persistence.DecodeRecord(m.Body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("seal after tick %d: %s, epoch %d", h.LastTick, r.Seal.Reason, h.Epoch)
	case h.Kind != "ticks":
		return fmt.Sprintf("%s, epoch %d", h.Kind, h.Epoch)
	case h.FirstTick == h.LastTick:
		return fmt.Sprintf("tick %d, epoch %d", h.LastTick, h.Epoch)
	}
	return fmt.Sprintf("ticks %d to %d, epoch %d", h.FirstTick, h.LastTick, h.Epoch)
}

func found(m persistence.Message, err error) string {
	if err != nil {
		return err.Error()
	}
	return contents(m)
}

func knows(d *persistence.Delta, all []persistence.SnapshotInfo) string {
	s := "no delta"
	if d != nil {
		s = fmt.Sprintf("delta of tick %d, record %d", d.Tick, d.RecordSeq)
	}
	for _, i := range all {
		s += fmt.Sprintf(", snapshot of record %d", i.Seq)
	}
	return s
}

func noted(n *Note) string {
	if n.Halted != "" {
		return fmt.Sprintf("halted: %s", n.Halted)
	}
	return fmt.Sprintf("high %s, attempt %d at tick %d", mark(n.High), n.Attempt.Count, n.Attempt.Tick)
}

func mark(m persistence.Mark) string { return fmt.Sprintf("%d/%d", m.Seq, m.Epoch) }

func orFine(err error) any {
	if err == nil {
		return "stored"
	}
	return err
}
