package room

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The simulation of keepers: a few nodes keep one room, with crashes, lost answers, actions that take effect long after
// their keeper died, claims that expire under a keeper that lives, bytes that a store garbles, somebody who wants the log removed,
// and, once the room is gone and its entries have expired, another room under the same id.

var keeperSeed = flag.Uint64("keeper-seed", 0, "run the simulation of keepers with this seed alone")

// bent changes what a keeper does: a planted bug.
type bent func(k *Keeper, ev Event, a Action) Action

type keeperSim struct {
	rng   *rand.Rand
	bug   bent
	trace []string

	life    int // of the room's id, from 1
	keep    Keep
	logs    map[string]*simLog // by lineage
	entry   *End
	rev     int64
	lineage string
	claim   int // node, or -1
	apart   bool
	stores  map[int]map[string]*simFile // by node; all are one unless apart
	kept    map[string]string           // lineage → the archive that its gone room has
	late    map[string]bool             // archives that were written when the room was gone
	nodes   []*simKeeper
	flight  []*simAction
	tries   int
	calm    bool
	fault   error
}

// simLog is a room's log.
type simLog struct {
	keep    Keep
	tick    uint64
	half    bool // its removal has begun
	removed bool
}

// simFile is an archive.
type simFile struct {
	a       Archive
	garbled bool
}

// simKeeper is a node with the keeper that runs on it, if any.
type simKeeper struct {
	id int
	k  *Keeper
}

// simAction is an action under way: it takes effect once, and then its answer arrives.
type simAction struct {
	node *simKeeper
	k    *Keeper // that waits for the answer, if it is still the node's
	a    Action
	ev   *Event // nil: it has not taken effect yet
	half bool   // a write that has begun
}

func newKeeperSim(seed uint64, bug bent) *keeperSim {
	s := &keeperSim{
		rng: rand.New(rand.NewPCG(seed, 1)), bug: bug, logs: map[string]*simLog{}, stores: map[int]map[string]*simFile{},
		kept: map[string]string{}, late: map[string]bool{}, claim: -1,
	}
	s.apart = s.rng.IntN(3) == 0
	one := map[string]*simFile{}
	for id := range 2 + s.rng.IntN(2) {
		s.nodes = append(s.nodes, &simKeeper{id: id})
		if s.stores[id] = one; s.apart {
			s.stores[id] = map[string]*simFile{}
		}
	}
	s.begin()
	return s
}

// begin begins a room, which has just ended.
func (s *keeperSim) begin() {
	s.life++
	s.keep = KeepArchive
	switch s.rng.IntN(10) {
	case 0, 1:
		s.keep = KeepNone
	case 2:
		s.keep = KeepLog
	}
	s.lineage = fmt.Sprintf("%08d-lineage", s.life)
	s.logs[s.lineage] = &simLog{keep: s.keep, tick: 40 + s.rng.Uint64N(2)} // often the same
	if s.rng.IntN(8) == 0 {                                                // it was closed before anybody ran it
		s.logs[s.lineage].tick, s.logs[s.lineage].removed = 0, true
		if s.rng.IntN(2) == 0 {
			delete(s.logs, s.lineage)
			s.lineage = ""
		}
	}
	end := &End{Phase: Sealed, Reason: "result"}
	if s.lineage != "" {
		end.Tick = s.logs[s.lineage].tick
	}
	s.put(end)
}

// remove notes that somebody wants the log removed.
func (s *keeperSim) remove() {
	s.log("somebody wants the log removed")
	e := *s.entry
	e.Remove = true
	s.put(&e)
	if log := s.logs[s.lineage]; log != nil {
		log.keep = KeepNone
	}
}

func (s *keeperSim) put(e *End) {
	s.rev++
	s.entry = e
}

func (s *keeperSim) log(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// broken keeps the first rule that was broken.
func (s *keeperSim) broken(rule, format string, args ...any) {
	if s.fault == nil {
		s.fault = fmt.Errorf("%s: "+format, append([]any{rule}, args...)...)
	}
}

// run runs a troubled time and then a calm one, in which the room must go.
func (s *keeperSim) run() error {
	for range 60 + s.rng.IntN(200) {
		if s.step(); s.fault != nil {
			return s.fault
		}
	}
	s.calm = true
	for range 3000 {
		if s.entry == nil || s.entry.settled(s.keep) && len(s.flight) == 0 {
			return s.ended()
		}
		if s.step(); s.fault != nil {
			return s.fault
		}
	}
	return fmt.Errorf("gone: the room stays %s", s.entry.Phase)
}

// ended checks what there is at the end.
func (s *keeperSim) ended() error {
	for lineage, name := range s.kept {
		s.whole("kept", lineage, name)
	}
	if log := s.logs[s.lineage]; s.entry != nil && log != nil && !log.removed {
		s.broken("gone", "the log of a room that is gone is there")
	}
	if s.entry != nil && s.keep == KeepArchive && !s.apart {
		for name := range s.stores[0] {
			if strings.HasPrefix(name, archivePrefix("dev", "r-1", s.lineage)) && name != s.entry.archiveName() && !s.late[name] {
				s.broken("swept", "%s was left beside the room's archive", name)
			}
		}
	}
	return s.fault
}

// whole checks that an archive is there with all of a log.
func (s *keeperSim) whole(rule, lineage, name string) {
	for _, files := range s.stores {
		if f := files[name]; f != nil && !f.garbled && f.a.Lineage == lineage && f.a.Tick == s.logs[lineage].tick {
			return
		}
	}
	s.broken(rule, "of lineage %s there is no whole archive %q", lineage, name)
}

func (s *keeperSim) step() {
	switch n := s.rng.IntN(100); {
	case n < 60 && len(s.flight) > 0:
		s.proceed(s.rng.IntN(len(s.flight)))
	case n < 75 || s.calm:
		s.start(s.nodes[s.rng.IntN(len(s.nodes))])
		if s.calm && s.claim >= 0 && s.nodes[s.claim].k == nil {
			s.claim = -1 // its lease has ended
		}
		if s.calm && s.keep == KeepLog && !s.entry.Remove {
			s.remove() // or it would stay for good
		}
	case n < 82:
		node := s.nodes[s.rng.IntN(len(s.nodes))]
		if node.k != nil {
			s.log("node %d dies", node.id)
			node.k = nil
		}
	case n < 90:
		if s.claim >= 0 {
			s.log("the claim of node %d expires", s.claim)
			s.claim = -1
		}
	case n < 93 && s.entry != nil && s.entry.Phase == Gone:
		s.log("the entries expire")
		s.entry, s.lineage, s.claim = nil, "", -1
	case n < 96 && s.entry == nil:
		s.begin()
		s.log("another room begins under the same id: %s, keep %s", s.lineage, s.keep)
	case n < 97 && s.entry != nil && s.entry.Phase != Gone && s.rng.IntN(8) == 0:
		s.remove()
	}
}

// start begins a keeper on a node that has none.
func (s *keeperSim) start(n *simKeeper) {
	if n.k != nil || s.entry == nil || s.entry.settled(s.keep) && s.rng.IntN(4) > 0 {
		return
	}
	s.tries++
	n.k = NewKeeper("dev", "r-1", fmt.Sprintf("%08d", s.tries))
	s.tell(n, n.k, Event{Kind: EventBegan})
}

// tell gives an event to a keeper and takes its action.
func (s *keeperSim) tell(n *simKeeper, k *Keeper, ev Event) {
	a := k.Step(ev)
	if s.bug != nil {
		a = s.bug(k, ev, a)
	}
	s.log("node %d: event %d ok %v err %v → action %d %s", n.id, ev.Kind, ev.OK, ev.Err, a.Kind, a.Name)
	if a.Kind == ActionEnd {
		if n.k = nil; s.claim == n.id {
			s.claim = -1
		}
		return
	}
	s.flight = append(s.flight, &simAction{node: n, k: k, a: a})
}

var errAway = errors.New("no answer")

// proceed lets an action take effect, or its answer arrive.
func (s *keeperSim) proceed(i int) {
	x := s.flight[i]
	if x.ev == nil {
		lost := !s.calm && s.rng.IntN(12) == 0
		if lost && s.rng.IntN(2) == 0 { // it never arrives
			x.ev = &Event{Kind: x.a.Kind.Answer(), Err: errAway}
			return
		}
		if x.a.Kind == ActionWrite && !x.half && s.rng.IntN(2) == 0 {
			x.half = true // the log is read; the file is not whole yet
			return
		}
		if x.a.Kind == ActionRemove && !x.half && s.rng.IntN(4) == 0 {
			if s.beginRemoval(s.meant(x.a.Lineage)); lost { // whoever removes it dies in the middle
				x.ev = &Event{Kind: EventRemoved, Err: errAway}
			}
			x.half = true
			return
		}
		ev := s.perform(x)
		if lost && ev.Kind != EventWrote && ev.Kind != EventProved { // it took effect, or will once more
			if s.rng.IntN(2) == 0 {
				s.flight = append(s.flight, &simAction{node: x.node, a: x.a})
			}
			ev = Event{Kind: ev.Kind, Err: errAway}
		}
		x.ev = &ev
		return
	}
	s.flight = slices.Delete(s.flight, i, i+1)
	if x.k != nil && x.node.k == x.k {
		s.tell(x.node, x.k, *x.ev)
	}
}

// perform carries an action out and returns the answer.
func (s *keeperSim) perform(x *simAction) Event {
	ev := Event{Kind: x.a.Kind.Answer()}
	files := s.stores[x.node.id]
	switch x.a.Kind {
	case ActionClaim:
		if x.k == nil || x.node.k != x.k || s.claim >= 0 || s.entry == nil { // a dead node's lease is gone
			return ev
		}
		s.claim = x.node.id
		ev.OK, ev.Keep, ev.Lineage = true, s.keep, s.lineage
		ev.Entry, ev.Revision = s.entry, s.rev
	case ActionWrite:
		s.writeFile(x, files, &ev)
	case ActionProve:
		f := files[x.a.Name]
		if f == nil || f.garbled {
			ev.Err = errors.New("damaged, or not there")
			return ev
		}
		a := f.a
		ev.Archive = &a
	case ActionNote:
		if s.entry == nil || x.a.Revision != s.rev && x.a.Revision >= 0 {
			ev.Entry, ev.Revision = s.entry, s.rev
			return ev
		}
		s.noteEntry(x.a.Entry)
		ev.OK, ev.Revision = true, s.rev
	case ActionLook:
		ev.Entry, ev.Revision = s.entry, s.rev
	case ActionRemove:
		s.removeLog(s.meant(x.a.Lineage))
	case ActionDiscard:
		s.log("node %d discards %s", x.node.id, x.a.Name)
		s.lose(x.node.id, x.a.Name)
	case ActionSweep:
		ev.OK = true
		for name := range files {
			if strings.HasPrefix(name, x.a.Prefix) && name != x.a.Name {
				s.log("node %d sweeps %s", x.node.id, name)
				s.lose(x.node.id, name)
			}
		}
	}
	return ev
}

// whatever is the lineage of the log that the room has when an action takes effect: only planted bugs ask for it.
const whatever = "*"

func (s *keeperSim) meant(lineage string) string {
	if lineage == whatever {
		return s.lineage
	}
	return lineage
}

// writeFile archives a log.
func (s *keeperSim) writeFile(x *simAction, files map[string]*simFile, ev *Event) {
	lineage := s.meant(x.a.Lineage)
	log := s.logs[lineage]
	if log == nil || log.removed || log.half {
		if ev.Err = ErrRemoved; x.half {
			ev.Err = errors.New("the log ended early")
		}
		return
	}
	f := &simFile{a: Archive{Name: x.a.Name, Lineage: lineage, Tick: log.tick, Last: log.tick + 3, Hash: lineage}, garbled: !s.calm && s.rng.IntN(8) == 0}
	if !s.calm && s.rng.IntN(10) == 0 { // the disk is full
		ev.Err = errors.New("the disk is full")
		return
	}
	if !s.calm && s.rng.IntN(20) == 0 { // of another log
		if f.a.Tick++; s.rng.IntN(2) == 0 {
			f.a.Tick, f.a.Lineage = log.tick, "another-lineage"
		}
	}
	files[x.a.Name] = f
	s.late[x.a.Name] = s.entry == nil || s.entry.Phase == Gone
	a := f.a
	ev.Archive = &a
}

// noteEntry replaces the entry, and checks that it may.
func (s *keeperSim) noteEntry(e *End) {
	order := []Phase{Sealed, Archived, Gone}
	if slices.Index(order, e.Phase) < slices.Index(order, s.entry.Phase) {
		s.broken("forward", "the room goes from %s to %s", s.entry.Phase, e.Phase)
	}
	s.log("noted: %s %s", e.Phase, e.archiveName())
	s.put(e)
	if e.Phase == Archived {
		s.whole("noted", s.lineage, e.archiveName())
	}
	if e.Phase == Gone && !e.Remove && s.keep == KeepLog {
		s.broken("removed", "the room is noted as gone, and its log was to stay")
	}
	if e.Phase == Gone && s.keep == KeepArchive && !e.Remove && e.Tick > 0 {
		s.kept[s.lineage] = e.archiveName()
		s.whole("kept", s.lineage, e.archiveName())
		if !s.logs[s.lineage].removed {
			s.broken("gone", "the room is noted as gone and its log is there")
		}
	}
}

// removeLog removes a log.
func (s *keeperSim) removeLog(lineage string) {
	s.beginRemoval(lineage)
	if log := s.logs[lineage]; log != nil && !log.removed {
		log.removed = true
		s.log("the log of %s is removed", lineage)
	}
}

// beginRemoval begins to remove a log, and checks that it may be removed.
func (s *keeperSim) beginRemoval(lineage string) {
	log := s.logs[lineage]
	if log == nil || log.removed || log.half {
		return
	}
	log.half = true
	s.log("the removal of the log of %s begins", lineage)
	if log.keep == KeepLog {
		s.broken("removed", "the log of %s is removed, and it was to stay", lineage)
	}
	if log.keep != KeepArchive {
		return
	}
	if s.lineage != lineage || s.entry == nil || s.entry.Phase != Archived {
		s.broken("removed", "the log of %s is removed and no archive is noted", lineage)
		return
	}
	s.whole("removed", lineage, s.entry.archiveName())
}

// lose removes a file, and checks that it may.
func (s *keeperSim) lose(node int, name string) {
	delete(s.stores[node], name)
	if s.entry != nil && s.entry.archiveName() == name && !s.apart {
		s.whole("noted", s.lineage, name)
	}
	for lineage, kept := range s.kept {
		s.whole("kept", lineage, kept)
	}
}

// TestRoomsAreKeptWhateverHappens runs the simulation with many seeds.
func TestRoomsAreKeptWhateverHappens(t *testing.T) {
	first, last := uint64(1), uint64(20_000)
	if testing.Short() {
		last = 4000
	}
	if *keeperSeed > 0 {
		first, last = *keeperSeed, *keeperSeed
	}
	lives, archived := 0, 0
	for seed := first; seed <= last; seed++ {
		s := newKeeperSim(seed, nil)
		if err := s.run(); err != nil {
			t.Fatalf("-keeper-seed=%d: %v\n%s", seed, err, strings.Join(s.trace, "\n"))
		}
		lives += s.life
		archived += len(s.kept)
	}
	if *keeperSeed == 0 && (lives < int(last)*5/4 || archived < int(last)/2) {
		t.Errorf("%d seeds had %d rooms and %d archives: the simulation does too little", last, lives, archived)
	}
}

// keeperBugs break the keeper, each in one way.
var keeperBugs = map[string]struct {
	bug bent
	by  []string // the rules that may notice
}{
	"the log removed before the archive is proven": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventWrote && ev.Err == nil {
			return k.remove()
		}
		return a
	}, []string{"removed"}},
	"a log removed that is kept": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventClaimed && ev.OK && k.keep == KeepLog {
			return k.remove()
		}
		return a
	}, []string{"removed"}},
	"a wish to remove a log that is overlooked": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventClaimed && ev.OK && ev.Entry.Remove {
			if k.keep = ev.Keep; k.keep == KeepLog {
				return k.goOn()
			}
		}
		return a
	}, []string{"gone"}},
	"an archive noted unproven": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventWrote && ev.Err == nil {
			return k.proved(Event{Kind: EventProved, Archive: ev.Archive})
		}
		return a
	}, []string{"noted"}},
	"half an archive noted": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventWrote && ev.Err != nil && !errors.Is(ev.Err, ErrRemoved) {
			k.wrote = &Archive{Name: k.name, Lineage: k.lineage, Tick: k.end.Tick}
			return k.proved(Event{Kind: EventProved, Archive: k.wrote})
		}
		return a
	}, []string{"noted"}},
	"the archive of another log noted": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventProved && k.wrote != nil && ev.Err == nil && a.Kind == ActionDiscard {
			k.lineage, k.end.Tick = ev.Archive.Lineage, ev.Archive.Tick
			return k.proved(ev)
		}
		return a
	}, []string{"noted"}},
	"an archive of whatever log the room has by then": {func(k *Keeper, ev Event, a Action) Action {
		if a.Kind == ActionWrite {
			a.Lineage = whatever
		}
		if ev.Kind == EventProved && k.wrote != nil && ev.Err == nil && a.Kind == ActionDiscard {
			k.lineage = ev.Archive.Lineage
			a = k.proved(ev)
		}
		if a.Kind == ActionNote {
			a.Revision = -1
		}
		return a
	}, []string{"noted", "forward", "kept", "removed"}},
	"a log removed without its lineage": {func(_ *Keeper, _ Event, a Action) Action {
		if a.Kind == ActionRemove {
			a.Lineage = whatever
		}
		return a
	}, []string{"removed", "gone"}},
	"a noted archive trusted unread": {func(k *Keeper, _ Event, a Action) Action {
		if a.Kind == ActionNote && a.Entry.Phase == Archived && k.end.Phase == Sealed {
			a.Entry.Archive.Name += "x" // what an earlier keeper noted was lost since
		}
		return a
	}, []string{"noted"}},
	"notes without a comparison": {func(_ *Keeper, _ Event, a Action) Action {
		if a.Kind == ActionNote {
			a.Revision = -1
		}
		return a
	}, []string{"forward", "noted", "kept", "gone"}},
	"an archive discarded though its note may still arrive": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventNoted && ev.Err != nil && k.wrote != nil {
			return k.discard(ev.Err)
		}
		return a
	}, []string{"noted", "kept", "removed"}},
	"one name for all attempts": {func(k *Keeper, _ Event, a Action) Action {
		k.name = archivePrefix(k.cluster, k.room, k.lineage) + "wind"
		if a.Kind == ActionWrite || a.Kind == ActionDiscard {
			a.Name = k.name
		}
		return a
	}, []string{"noted", "kept", "removed"}},
	"archives swept before the room is gone": {func(k *Keeper, ev Event, a Action) Action {
		switch {
		case a.Kind == ActionWrite:
			return Action{Kind: ActionSweep, Prefix: archivePrefix(k.cluster, k.room, k.lineage), Name: k.end.archiveName()}
		case ev.Kind == EventSwept && k.end.Phase != Gone:
			return k.write()
		}
		return a
	}, []string{"noted", "kept", "removed"}},
	"archives swept whatever their lineage": {func(_ *Keeper, _ Event, a Action) Action {
		if a.Kind == ActionSweep {
			a.Prefix = "dev/r-1."
		}
		return a
	}, []string{"noted", "kept", "removed"}},
	"a log removed although the note had no answer": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventNoted && ev.Err != nil && k.offered.Phase == Archived {
			return k.remove()
		}
		return a
	}, []string{"removed"}},
	"a sweep that is noted before it is done": {func(_ *Keeper, _ Event, a Action) Action {
		if a.Kind == ActionNote && a.Entry.Phase == Gone {
			a.Entry.Swept = true
		}
		return a
	}, []string{"swept"}},
	"a room noted as gone whose log could not be removed": {func(k *Keeper, ev Event, a Action) Action {
		if ev.Kind == EventRemoved && ev.Err != nil {
			return k.Step(Event{Kind: EventRemoved})
		}
		return a
	}, []string{"gone"}},
}

// TestTheSimulationNoticesEveryKeeperBug: each planted bug breaks a rule within some seeds.
func TestTheSimulationNoticesEveryKeeperBug(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(keeperBugs)) {
		b := keeperBugs[name]
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			for seed := uint64(1); seed <= 20_000; seed++ {
				s := newKeeperSim(seed, b.bug)
				err := s.run()
				if err == nil {
					continue
				}
				rule, _, _ := strings.Cut(err.Error(), ":")
				if !slices.Contains(b.by, rule) {
					t.Fatalf("seed %d: noticed by %v, expected one of %v\n%s", seed, err, b.by, strings.Join(s.trace, "\n"))
				}
				t.Logf("noticed at seed %d: %v", seed, err)
				return
			}
			t.Fatal("not noticed")
		})
	}
}
