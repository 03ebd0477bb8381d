package shard

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ferris1/wind/persistence"
)

// This file is the simulated cluster: one shard, some nodes, a log, a coordination service, a
// delta stream and a snapshot store, all driven by one queue of moments. The nodes run the real
// Owner; everything around it loses, delays, duplicates, reorders, pauses, crashes and forgets.

// simTTL and simMargin belong to the lease; a node's clock drifts by less than the margin allows.
const (
	simTTL    = 2 * time.Second
	simMargin = 200 * time.Millisecond
	simTick   = 100 * time.Millisecond
)

// simConfig is a seed's weather.
type simConfig struct {
	seed    uint64
	nodes   int
	length  time.Duration
	loss    float64 // of a request or an answer
	twice   float64 // a request arrives twice
	slow    float64 // a delay is long
	crash   float64 // per node and second
	pause   float64
	steal   float64 // a standby deletes the owner key before the lease ends, per second
	trouble bool    // log truncations, bad snapshots, full log, divergence
	mutant  func(o *Owner, ev Event) (Event, bool)
	rejoin  func(Ended, Next) Next // replaces Rejoin's decision; nil: unchanged
	rule    SnapshotRule
	ends    uint64 // the game ends the room in this tick or a later one; 0: never
	closes  bool   // an operator closes the room
	forgets bool   // nodes count the distance to a snapshot from the start of their ownership, for a mutant
}

// simCalm is the time without faults at a seed's end. Whatever happened before, the shard must be served then: a lease runs
// out, an operator looks, pauses end, and a record is committed.
const simCalm = 15 * time.Second

// violation is a broken invariant.
type violation struct {
	name string // I1, I3, …
	text string
}

func (v violation) Error() string { return v.name + ": " + v.text }

// sim is the whole simulated world.
type sim struct {
	cfg   simConfig
	rng   *rand.Rand
	now   time.Duration
	queue moments
	count uint64 // moments so far, for a stable order
	steps int

	simRoom // the shard's log
	part    partition

	nodes  []*simNode
	full   bool
	rot    bool // the next snapshot is of a world that never was, and its nodes die with it
	coord  coord
	deltas []persistence.Delta
	lines  uint64 // deltas ever stored: the stream's fence
	snaps  []persistence.Snapshot
	mute   string // name of a snapshot about which the store answers nothing

	released  map[persistence.Seq]persistence.Hash // by any node, ever
	ticks     map[uint64]persistence.Hash          // record that released a tick
	lost      persistence.Seq                      // after a truncation: nothing may be appended until it is accepted
	cut       []persistence.Message                // the log before it
	losses    int
	quiet     bool     // no trouble and no stops any more
	eager     bool     // nodes propose although a record is outstanding, for a mutant
	ignore    []string // invariants that are not checked
	violation error

	fences, commits, alarms int
	longest                 uint64         // most ticks that a recovery re-simulated
	committed               time.Duration  // when the last record was
	stops                   map[string]int // owners that ended, by reason
}

// coord is the coordination service: linearizable, with leases by its own clock.
type coord struct {
	Standing
	leases map[int64]time.Duration // expiry
}

// moment is something that happens at a time.
type moment struct {
	at    time.Duration
	order uint64
	do    func()
}

type moments []moment

func (m moments) Len() int { return len(m) }
func (m moments) Less(i, j int) bool {
	return m[i].at < m[j].at || m[i].at == m[j].at && m[i].order < m[j].order
}
func (m moments) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(x any)   { *m = append(*m, x.(moment)) }
func (m *moments) Pop() any {
	old := *m
	x := old[len(old)-1]
	*m = old[:len(old)-1]
	return x
}

// newSim makes a cluster whose faults follow from the seed.
func newSim(seed uint64, mutant func(o *Owner, ev Event) (Event, bool)) *sim {
	rng := rand.New(rand.NewPCG(seed, 0x77696e64))
	cfg := simConfig{seed: seed, nodes: 2 + rng.IntN(2), length: 30 * time.Second, mutant: mutant, rule: SnapshotRule{Most: Mileage{Ticks: 20, Bytes: 1, Work: 1}, Gap: 5}}
	cfg.loss = []float64{0, 0.01, 0.05, 0.12}[rng.IntN(4)]
	cfg.twice = []float64{0, 0.02, 0.2}[rng.IntN(3)]
	cfg.slow = []float64{0, 0.02, 0.1}[rng.IntN(3)]
	cfg.crash = []float64{0, 0.05, 0.2}[rng.IntN(3)]
	cfg.pause = []float64{0, 0.1, 0.4}[rng.IntN(3)]
	cfg.steal = []float64{0, 0.1, 0.3}[rng.IntN(3)]
	cfg.trouble = rng.IntN(3) == 0
	switch seed % 6 {
	case 1:
		cfg.ends = 20 + 5*(seed%30)
	case 4:
		cfg.closes = true
	}
	s := &sim{
		cfg: cfg, rng: rng, simRoom: simRoom{first: 1}, coord: coord{leases: map[int64]time.Duration{}},
		stops: map[string]int{}, released: map[persistence.Seq]persistence.Hash{}, ticks: map[uint64]persistence.Hash{},
	}
	for i := range cfg.nodes {
		n := &simNode{sim: s, id: fmt.Sprintf("n%d", i+1)}
		s.nodes = append(s.nodes, n)
		s.in(time.Duration(rng.IntN(500))*time.Millisecond, n.boot)
		s.in(time.Second, n.misfortune)
	}
	s.share()
	s.in(5*time.Second, s.operator)
	if seed%5 == 2 {
		s.in(8*time.Second, s.silence)
	}
	s.in(time.Second, s.steal)
	if cfg.closes {
		s.in(time.Duration(5+seed%20)*time.Second, s.close)
	}
	if cfg.trouble {
		s.in(s.between(3*time.Second, 20*time.Second), s.trouble)
	}
	return s
}

// run simulates the seed and returns the first broken invariant.
func (s *sim) run() error {
	s.until(s.cfg.length)
	s.calm()
	s.until(s.cfg.length + simCalm)
	if s.violation == nil {
		s.checkServed()
	}
	if s.violation == nil {
		s.checkLog()
		s.part.check()
		s.checkRemoved()
	}
	return s.violation
}

func (s *sim) until(end time.Duration) {
	for len(s.queue) > 0 && s.violation == nil && s.now < end {
		m := heap.Pop(&s.queue).(moment)
		s.now = m.at
		s.steps++
		m.do()
	}
}

// calm ends the faults.
func (s *sim) calm() {
	s.cfg.loss, s.cfg.twice, s.cfg.slow, s.cfg.crash, s.cfg.pause, s.cfg.steal = 0, 0, 0, 0, 0, 0
	s.quiet = true
	for _, n := range s.nodes {
		n.skew = false
		if n.world != nil {
			n.world.skewed = false
		}
	}
}

// checkServed checks that, without faults, some node serves the shard.
func (s *sim) checkServed() {
	if s.lost > 0 && len(s.coord.Accepted) == 0 || s.coord.Halted != "" {
		return // no node may
	}
	if s.cfg.ends > 0 || s.cfg.closes {
		if !s.sealed() && s.losses == 0 {
			s.fail("sealed", "the room has ended, and nobody sealed its log")
		}
		return
	}
	if since := s.now - s.committed; since > 3*time.Second {
		s.fail("served", "nothing was committed for %s, and the weather is fine since %s", since, simCalm)
	}
}

// in schedules a function.
func (s *sim) in(d time.Duration, do func()) {
	s.count++
	heap.Push(&s.queue, moment{at: s.now + d, order: s.count, do: do})
}

func (s *sim) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rng.Int64N(int64(b-a)))
}

// delay returns how long a message takes; messages may overtake each other.
func (s *sim) delay() time.Duration {
	if s.chance(s.cfg.slow) {
		return s.between(50*time.Millisecond, 3*time.Second)
	}
	return s.between(200*time.Microsecond, 3*time.Millisecond)
}

func (s *sim) fail(name, format string, args ...any) {
	if s.violation == nil && !slices.Contains(s.ignore, name) {
		s.violation = violation{name, fmt.Sprintf(format, args...)}
	}
}

// errTimeout is the error of a node's own timeout.
var errTimeout = fmt.Errorf("%w: simulated timeout", persistence.ErrAmbiguous)

// rpc sends a request to a service and its answer back to the node. serve runs at the service.
func (s *sim) rpc(n *simNode, op uint64, kind EventKind, serve func() Event) {
	s.ask(n, op, kind, func(answer func(Event, func())) { answer(serve(), nil) })
}

// ask is rpc with a service that answers later: over a network that loses, delays and duplicates. heard, unless it is nil, runs
// when the answer reaches the node; the node gets errTimeout if no answer came in time.
func (s *sim) ask(n *simNode, op uint64, kind EventKind, serve func(answer func(ev Event, heard func()))) {
	life := n.life
	arrive := func(ev Event, heard func()) {
		if heard != nil && life == n.life {
			heard()
		}
		ev.Kind, ev.Op = kind, op
		n.hear(life, ev)
	}
	copies := 1
	if s.chance(s.cfg.twice) {
		copies = 2
	}
	for range copies {
		if s.chance(s.cfg.loss) {
			continue
		}
		s.in(s.delay(), func() {
			serve(func(ev Event, heard func()) {
				if !s.chance(s.cfg.loss) {
					s.in(s.delay(), func() { arrive(ev, heard) })
				}
			})
		})
	}
	s.in(time.Second, func() { arrive(Event{Err: errTimeout}, nil) })
}

// ---- services ----

// append asks the stream to append a record of the shard.
func (s *sim) append(m persistence.Message, f simFence, answer func(place uint64, err error)) {
	if s.full && s.rng.IntN(8) != 0 {
		answer(0, persistence.ErrFull)
		return
	}
	s.part.append(&s.simRoom, m, f, func(place uint64, err error) {
		s.full = s.full && err != nil
		answer(place, err)
	})
}

// checkLoss checks I9 when the stream stores a record of the shard.
func (s *sim) checkLoss(m persistence.Message) {
	expect := m.Seq - 1
	if s.lost > 0 && expect < persistence.Seq(len(s.cut)) && persistence.HashOf(s.cut[expect].Body) == persistence.HashOf(m.Body) {
		// A copy still in flight restores what the disk lost.
		if m.Seq >= s.lost {
			s.lost = 0
		}
	} else if s.lost > 0 && len(s.coord.Accepted) == 0 && m.Header.Kind == "ticks" && m.Header.Epoch == s.coord.Epoch {
		// (A superseded owner's record can match again when the fence that was to stop it is cut off.)
		s.fail("I9", "record %d of epoch %d was appended to a log that had lost %d", m.Seq, m.Header.Epoch, s.lost)
	}
}

func (s *sim) get(seq persistence.Seq) (persistence.Message, error) {
	if seq < s.first || seq > persistence.Seq(len(s.log)) {
		return persistence.Message{}, persistence.ErrNotFound
	}
	return s.log[seq-1], nil
}

func (s *sim) tail() Tail {
	if s.first > persistence.Seq(len(s.log)) {
		return Tail{} // nothing of it is stored
	}
	t := Tail{Last: persistence.Seq(len(s.log))}
	if s.cfg.seed%3 == 0 && t.Last > 0 { // a log that fills: each record takes 100 bytes
		t.First = max(s.first, 1)
		t.UsedBytes, t.LimitBytes = 100*int64(t.Last-t.First+1), simLimit
	}
	if t.Last > 0 {
		t.Epoch, t.Tick = s.log[t.Last-1].Header.Epoch, s.log[t.Last-1].Header.LastTick
		t.Sealed = s.sealed()
	}
	return t
}

// read is the coordination service's answer, after it dropped the keys of dead leases.
func (c *coord) read(now time.Duration) Standing {
	if c.Owner != "" && now >= c.leases[c.OwnerLease] {
		c.Owner, c.OwnerLease = "", 0
	}
	return c.Standing
}

func (c *coord) claim(now time.Duration, b Bid) bool {
	c.read(now)
	if c.Owner != "" || c.Halted != "" || c.EpochRevision != b.EpochRevision || now >= c.leases[b.Lease] {
		return false
	}
	c.Revision++
	c.Owner, c.OwnerLease, c.Epoch, c.EpochRevision, c.Lineage = b.Node, b.Lease, b.Epoch, c.Revision, b.Lineage
	return true
}

func (c *coord) note(n Note) error {
	if n.Attempt.Tick > 0 {
		c.Attempt = n.Attempt
	}
	if h := n.High; h.Epoch > c.High.Epoch || h.Epoch == c.High.Epoch && h.Seq > c.High.Seq {
		c.High = h
	}
	if n.Halted != "" {
		c.Halted, c.Attempt = n.Halted, Attempt{}
	}
	if n.High.Epoch > 0 && n.High.Epoch < c.High.Epoch {
		return ErrFenced
	}
	return nil
}

func (c *coord) release(node string, epoch persistence.Epoch) {
	if c.Owner == node && c.Epoch == epoch {
		c.Owner, c.OwnerLease = "", 0
	}
	if c.Attempt.Epoch == epoch {
		c.Attempt = Attempt{}
	}
}

// publish is the delta stream's own compare-and-append.
func (s *sim) publish(expect uint64, d persistence.Delta) error {
	if expect != s.lines {
		return persistence.ErrConflict
	}
	s.deltas = append(s.deltas, d)
	s.lines++
	return nil
}

func (s *sim) lastDelta() *persistence.Delta {
	if len(s.deltas) == 0 {
		return nil
	}
	d := s.deltas[len(s.deltas)-1]
	return &d
}

func (s *sim) delta(tick uint64) *persistence.Delta {
	for i := len(s.deltas) - 1; i >= 0; i-- {
		if d := s.deltas[i]; d.Tick == tick && d.Gap == nil {
			return &d
		}
	}
	return nil
}

// ---- trouble ----

// trouble is one rare fault of the stores.
func (s *sim) trouble() {
	if s.quiet {
		return
	}
	if s.cfg.seed%7 == 0 {
		s.renew()
		return
	}
	switch s.rng.IntN(4) {
	case 0:
		s.truncate()
	case 1:
		s.full = true
	case 2:
		s.rot = true
	case 3:
		for _, n := range s.nodes {
			n.skew = s.rng.IntN(3) == 0 // from its next life on this node's build computes otherwise
		}
	}
}

// renew gives one node a build with another schema, from its next life on.
func (s *sim) renew() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	n.new = true
	n.crash()
}

// truncate cuts the log below a sequence that some store knows of, as a damaged disk does, with or without a crash of all
// nodes.
func (s *sim) truncate() {
	known := s.coord.High.Seq
	if d := s.lastDelta(); d != nil {
		known = max(known, d.RecordSeq)
	}
	if known <= s.first+1 {
		return
	}
	to := s.first + persistence.Seq(s.rng.IntN(int(known-s.first)))
	if to >= persistence.Seq(len(s.log)) {
		return
	}
	s.lost = known
	s.losses++
	s.cut = s.log
	cut := s.places[to-1]
	if next := s.places[to]; next > cut+1 { // somewhere among the neighbours' messages
		cut += s.part.rng.Uint64N(next - cut)
	}
	s.part.cut(cut)
	for seq := range s.released {
		if seq > to {
			delete(s.released, seq)
		}
	}
	clear(s.ticks)
	if s.rng.IntN(2) == 0 {
		for _, n := range s.nodes {
			n.crash()
		}
	}
	s.in(s.between(8*time.Second, 15*time.Second), s.accept)
}

// accept is the operator who accepts a loss, after stopping the owners.
func (s *sim) accept() {
	if s.lost == 0 || len(s.coord.Accepted) > 0 {
		return
	}
	for _, n := range s.nodes {
		n.crash()
	}
	s.coord.Accepted = []persistence.Mark{{Seq: persistence.Seq(len(s.log)), Epoch: s.coord.Epoch}}
	s.coord.Halted, s.coord.Attempt = "", Attempt{}
}

// operator looks at a halted shard from time to time, and lifts the halt if no history was lost.
func (s *sim) operator() {
	if s.lost == 0 {
		s.coord.Halted = ""
	}
	s.in(5*time.Second, s.operator)
}

// close is the operator who closes the room, again and again until its log is sealed.
func (s *sim) close() {
	if s.sealed() {
		return
	}
	for _, n := range s.nodes {
		n.hear(n.life, Event{Kind: EventEnd, End: &persistence.Seal{Reason: persistence.EndClosed}})
	}
	s.in(time.Second, s.close)
}

// steal is a takeover: the owner key is deleted, but the owner and its lease live on.
func (s *sim) steal() {
	if s.chance(s.cfg.steal) {
		s.coord.Owner, s.coord.OwnerLease = "", 0
	}
	s.in(s.between(500*time.Millisecond, 1500*time.Millisecond), s.steal)
}

const simLineage = "8b1a6a0e-0000-4000-8000-000000000001"

var errBad = errors.New("simulated damage")
