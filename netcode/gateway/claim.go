package gateway

import (
	"maps"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// claim is what a session does to the record of its player: it finds the player's instances there, makes the session the
// player's own, sees after it, and gives it up. One thing is done at a time, each by reading and compare-and-set, in
// rounds until a write comes first.
type claim struct {
	m      *machine
	player string

	jobs   []job  // the first is under way
	op     uint64 // the request that it waits for; 0: none
	known  bool   // record and revision are what the store had last
	record Record
	// revision is that of record; 0: there is none.
	revision uint64
	next     Record // what the outstanding write brings

	held      uint64        // the newest revision that named this session; 0: none yet
	heard     uint64        // the newest revision that was announced for another one
	checkAt   time.Duration // when it is looked after next, or given up once more
	leftAt    time.Duration // when the session gave it up
	bid       bool          // the session was written, or may be: even a write that failed may have been done
	announced bool
	deaf      bool // announcements may have been lost before the session was the player's
}

// job is one thing to be done to a record.
type job struct {
	kind   jobKind
	b      *binding // jobPlace: is to have an instance
	avoid  string   // not this instance, if that can be
	prefer string   // this one, if the player is not bound; "": whichever the directory picks
	fresh  bool     // the session's first of this type: not one that takes nobody new
	doubts int      // writes whose fate was not known
}

type jobKind uint8

const (
	jobPlace   jobKind = iota + 1 // find an instance for a binding
	jobConfirm                    // the session is the player's
	jobCheck                      // is it still? The record lives on
	jobRelease                    // it is over
	jobVoid                       // nobody waits for what is under way any more
)

// maxDoubts bounds how often a job asks what became of a write.
const maxDoubts = 2

func (c *claim) push(j job) {
	c.jobs = append(c.jobs, j)
	if len(c.jobs) == 1 {
		c.begin()
	}
}

// begin takes up the first job.
func (c *claim) begin() {
	if len(c.jobs) == 0 {
		return
	}
	if c.known && c.jobs[0].kind != jobPlace {
		c.proceed()
		return
	}
	c.read()
}

func (c *claim) read() {
	c.known = false
	c.op = c.m.request(action{kind: actRead, player: c.player})
}

func (c *claim) write(next Record, life time.Duration) {
	c.next = next
	c.op = c.m.request(action{kind: actWrite, player: c.player, record: next, revision: c.revision, life: life})
}

// proceed goes on with the first job now that the record is known.
func (c *claim) proceed() {
	mine := c.record.Session == c.m.id
	switch j := &c.jobs[0]; j.kind {
	case jobPlace:
		if c.m.player == c.player && c.m.since && !mine && c.record.Session != "" {
			c.m.replaced(c) // the read has shown it
			c.done()
			return
		}
		c.look(false)
	case jobConfirm:
		c.bid = true
		c.write(Record{Session: c.m.id, At: c.at()}, c.m.limits.RecordLife)
	case jobCheck:
		if !mine && c.record.Session != "" {
			c.m.replaced(c)
			c.done()
			return
		}
		c.write(Record{Session: c.m.id, At: c.at()}, c.m.limits.RecordLife)
	case jobRelease:
		if !mine {
			c.done() // somebody else's, or gone
			return
		}
		c.announce() // the client may have left before the login was confirmed, and yet it came behind the others
		c.write(Record{Session: c.m.id, Left: true, At: c.record.At}, c.m.limits.Return)
	case jobVoid:
		c.done()
	}
}

// at is the record's instances, with the session's own where it has none.
func (c *claim) at() map[string]string {
	at := maps.Clone(c.record.At)
	for _, b := range c.m.bindings {
		if b.claim == c && b.instance != "" && at[b.kind] == "" {
			if at == nil {
				at = map[string]string{}
			}
			at[b.kind] = b.instance
		}
	}
	return at
}

// step takes what the claim has asked for.
func (c *claim) step(e *event) {
	if e.op != c.op || len(c.jobs) == 0 {
		return
	}
	c.op = 0
	switch e.kind {
	case eventRead:
		if e.failed {
			c.fail(e.err != nil)
			return
		}
		c.learn(e.record, e.revision)
		c.proceed()
	case eventFound:
		c.found(e)
	case eventWritten:
		c.written(e)
	}
}

// alive reports whether the record is that of a session that lives: the player has its place, full or not.
func (c *claim) alive() bool { return c.record.Session != "" && !c.record.Left }

// learn takes what the store has.
func (c *claim) learn(r Record, revision uint64) {
	c.known, c.record, c.revision = true, r, revision
	if revision != 0 && r.Session == c.m.id && !r.Left {
		c.held = max(c.held, revision)
	}
}

// found goes on with a job that places the player. The directory counts whom it picks an instance for, so it is asked for
// one only when the player does not stay.
func (c *claim) found(e *event) {
	j := &c.jobs[0]
	if j.kind != jobPlace {
		c.done()
		return
	}
	f, bound := e.found, c.record.At[j.b.kind]
	next := j.prefer
	if next == "" {
		next = f.other
	}
	stays := f.alive && bound != j.avoid
	switch {
	case stays && (!j.fresh || !f.drains && (!f.full || c.alive())):
		c.placed(bound)
	case next == "" && !f.picked:
		c.look(true)
	case next == "" && stays, next != "" && next == bound:
		c.placed(bound) // there is no other, or it is back
	case next == "":
		c.placed("")
	default:
		life := c.m.limits.Return
		if c.alive() {
			life = c.m.limits.RecordLife
		}
		c.write(c.record.with(j.b.kind, next), life)
	}
}

// look asks the directory how the player's instance stands, and picks another one.
func (c *claim) look(picks bool) {
	j := &c.jobs[0]
	c.op = c.m.request(action{kind: actFind, player: c.player, serviceType: j.b.kind, instance: c.record.At[j.b.kind], avoid: j.avoid, key: c.player, picks: picks})
}

// written goes on with a job whose write has an answer.
func (c *claim) written(e *event) {
	j := &c.jobs[0]
	switch {
	case e.failed && j.doubts < maxDoubts && e.err == nil:
		j.doubts++
		c.read()
		return
	case e.failed:
		c.fail(e.err != nil)
		return
	case e.revision == 0:
		c.read() // somebody else was first
		return
	}
	moved := c.record.At
	c.learn(c.next, e.revision)
	switch j.kind {
	case jobPlace:
		if moved[j.b.kind] != "" {
			c.m.counters.rebound.Add(1)
		}
		c.placed(c.record.At[j.b.kind])
	case jobConfirm:
		c.done()
		c.m.confirmed(c)
	case jobCheck:
		c.checkAfter(c.m.checkEvery)
		c.done()
	case jobRelease:
		c.tell()
		c.done()
	case jobVoid:
		c.done()
	}
}

// placed ends a job that places the player; "": nobody takes anybody.
func (c *claim) placed(instance string) {
	b := c.jobs[0].b
	c.done()
	b.placed(instance)
}

// announce tells all gateways, once, that the session is the player's.
func (c *claim) announce() {
	if !c.announced {
		c.announced = true
		c.m.do(action{kind: actAnnounce, player: c.player, revision: c.held})
	}
}

// tell tells the player's instances that its session is over.
func (c *claim) tell() {
	for _, kind := range slices.Sorted(maps.Keys(c.record.At)) {
		c.m.do(action{kind: actTell, player: c.player, serviceType: kind, instance: c.record.At[kind]})
	}
}

// done ends the first job.
func (c *claim) done() {
	c.jobs = c.jobs[1:]
	c.begin()
}

// fail ends the first job when the store does not answer; stops: nor will it, as the gateway stops. A record that is to be
// given up is tried again until it is gone by itself.
func (c *claim) fail(stops bool) {
	c.known = false
	j := c.jobs[0]
	switch j.kind {
	case jobPlace:
		c.done()
		j.b.fail(rpc.Errorf(rpc.Unavailable, "it cannot be found out which %s has the player", j.b.kind))
	case jobConfirm:
		c.done()
		c.m.notConfirmed()
	case jobCheck:
		c.checkAfter(checkAgain)
		c.done()
	case jobRelease:
		if !stops && c.m.now < c.leftAt+c.m.limits.RecordLife {
			c.jobs[0].doubts = 0
			c.checkAfter(checkAgain)
			return
		}
		c.tell() // a hint more than needed does less harm than one that is missing
		c.done()
	default:
		c.done()
	}
}

// checkAgain is the pause after a check that failed.
const checkAgain = 5 * time.Second

func (c *claim) checkAfter(pause time.Duration) {
	c.checkAt = c.m.now + pause
	c.m.wake(c.checkAt)
}

// check asks whether the session is still the player's, unless that is being asked.
func (c *claim) check() {
	c.checkAfter(c.m.checkEvery)
	for _, j := range c.jobs {
		if j.kind == jobCheck {
			return
		}
	}
	c.push(job{kind: jobCheck})
}

// again tries to give the record up once more, if it failed.
func (c *claim) again() {
	if c.op == 0 && len(c.jobs) > 0 {
		c.read()
	}
}

// leave gives the record up when the session may be the player's; release: it has not been replaced. Nobody waits for the
// rest.
func (c *claim) leave(release bool) {
	c.drop()
	if c.leftAt = c.m.now; release && c.bid {
		c.push(job{kind: jobRelease})
	}
}

// drop forgets all jobs. The answer that the first may wait for comes still.
func (c *claim) drop() {
	c.jobs = c.jobs[:min(1, len(c.jobs))]
	switch {
	case len(c.jobs) == 1 && c.op == 0:
		c.jobs = nil
	case len(c.jobs) == 1:
		c.jobs[0].kind = jobVoid
	}
}
