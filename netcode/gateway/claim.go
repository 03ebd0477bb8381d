package gateway

import (
	"maps"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// claim is a session's work on its player's record. It finds the player's instances there, makes the session the
// player's own, refreshes the record, and gives it up. It does one job at a time. Each job reads, then writes by
// compare-and-set, and repeats until its write succeeds.
type claim struct {
	m      *machine
	player string

	jobs   []job  // the first is running
	op     uint64 // the request it waits for; 0: none
	known  bool   // record and revision are the store's latest
	record Record
	// revision is the record's revision; 0: it does not exist.
	revision uint64
	next     Record // what the outstanding write writes

	held      uint64        // the newest revision that names this session; 0: none yet
	heard     uint64        // the newest revision announced for another session
	checkAt   time.Duration // when to check the record next, or to try again to give it up
	leftAt    time.Duration // when the session gave the record up
	bid       bool          // the record may name the session: even a failed write may have been done
	announced bool
	back      bool // the record was a session's that is over
	deaf      bool // announcements may have been lost before the session was the player's
}

// job is one task on a record.
type job struct {
	kind   jobKind
	b      *binding // jobPlace: the binding that needs an instance
	avoid  string   // not this instance, if possible
	prefer string   // this instance, if the player is not bound; "": the directory's choice
	fresh  bool     // the session's first instance of this type: must accept new players
	doubts int      // writes with an unknown result
}

type jobKind uint8

const (
	jobPlace   jobKind = iota + 1 // find an instance for a binding
	jobConfirm                    // make the session the player's
	jobCheck                      // is the session still the player's? also refreshes the record
	jobRelease                    // give the record up
	jobVoid                       // nobody needs the running job any more
)

// maxDoubts bounds how often a job re-reads the record because a write's result is unknown.
const maxDoubts = 2

func (c *claim) push(j job) {
	c.jobs = append(c.jobs, j)
	if len(c.jobs) == 1 {
		c.begin()
	}
}

// begin starts the first job.
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
	c.op = c.m.request(action{kind: actWrite, player: c.player, revision: c.revision, details: &details{record: next, life: life}})
}

// proceed continues the first job now that the record is known.
func (c *claim) proceed() {
	mine := c.record.Session == c.m.id
	switch j := &c.jobs[0]; j.kind {
	case jobPlace:
		if c.m.player == c.player && c.m.since && !mine && c.record.Session != "" {
			c.m.replaced(c) // as the read shows
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
			c.done() // another session's, or gone
			return
		}
		c.announce() // the client may have left before this login was confirmed, yet it replaces earlier ones
		c.write(Record{Session: c.m.id, Left: true, At: c.record.At}, c.m.limits.Return)
	case jobVoid:
		c.done()
	}
}

// at returns the record's instances, adding the session's own for types that the record lacks.
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

// step takes the answer to the claim's outstanding request.
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

// alive reports whether the record belongs to a live session.
func (c *claim) alive() bool { return c.record.Session != "" && !c.record.Left }

// returns reports whether this session follows one that was over. The directory then decides for each type of service
// whether the player goes back to its instance. A player whose record names a live session, or none yet, keeps it.
func (c *claim) returns() bool {
	return c.record.Left || c.back && c.record.Session == c.m.id
}

// learn stores what the store returned.
func (c *claim) learn(r Record, revision uint64) {
	c.known, c.record, c.revision = true, r, revision
	c.back = c.back || r.Left
	if revision != 0 && r.Session == c.m.id && !r.Left {
		c.held = max(c.held, revision)
	}
}

// found continues a job that places the player. The directory counts the players it picks instances for, so found asks
// for a pick only if the player may go elsewhere: with a new login, or if it cannot stay.
func (c *claim) found(e *event) {
	j := &c.jobs[0]
	if j.kind != jobPlace {
		c.done()
		return
	}
	f, bound := e.found, c.record.At[j.b.kind]
	stays := f.alive && bound != j.avoid
	next := j.prefer
	if next == "" || stays && f.other == bound {
		next = f.other
	}
	switch {
	case stays && (!j.fresh || !f.drains && !c.returns()):
		c.placed(bound)
	case !f.picked && (j.prefer == "" || stays && !f.drains):
		c.look(true)
	case next == "" && stays, next != "" && next == bound:
		c.placed(bound) // there is no other instance, or the old one is back
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

// look asks the directory for the state of the player's instance and, if picks, for another instance.
func (c *claim) look(picks bool) {
	j := &c.jobs[0]
	c.op = c.m.request(action{kind: actFind, player: c.player, serviceType: j.b.kind, instance: c.record.At[j.b.kind], details: &details{avoid: j.avoid, key: c.player, picks: picks}})
}

// written continues a job after its write.
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
		c.read() // another writer came first
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

// placed ends a job that places the player. "" means that no instance accepts new players.
func (c *claim) placed(instance string) {
	b := c.jobs[0].b
	c.done()
	b.placed(instance)
}

// announce tells all gateways, once, that the session is now the player's.
func (c *claim) announce() {
	if !c.announced {
		c.announced = true
		c.m.do(action{kind: actAnnounce, player: c.player, revision: c.held})
	}
}

// tell notifies the player's instances that its session is over.
func (c *claim) tell() {
	for _, kind := range slices.Sorted(maps.Keys(c.record.At)) {
		c.m.do(action{kind: actTell, player: c.player, serviceType: kind, instance: c.record.At[kind]})
	}
}

// done ends the first job and begins the next.
func (c *claim) done() {
	c.jobs = c.jobs[1:]
	c.begin()
}

// fail ends the first job because the store does not answer. stops means that the gateway is stopping, so the store will
// not answer later either. Giving up a record is retried until the record has expired.
func (c *claim) fail(stops bool) {
	c.known = false
	j := c.jobs[0]
	switch j.kind {
	case jobPlace:
		c.done()
		j.b.fail(rpc.Errorf(rpc.Unavailable, "the cluster's store does not answer, so it is unknown which instance of %s has the player: try again", j.b.kind))
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
		c.tell() // a superfluous hint does less harm than a missing one
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

// check checks whether the session is still the player's, unless a check is already queued.
func (c *claim) check() {
	c.checkAfter(c.m.checkEvery)
	for _, j := range c.jobs {
		if j.kind == jobCheck {
			return
		}
	}
	c.push(job{kind: jobCheck})
}

// again retries to give up the record if that failed.
func (c *claim) again() {
	if c.op == 0 && len(c.jobs) > 0 {
		c.read()
	}
}

// leave drops the claim's other jobs. If release is set (the session was not replaced) and the record may name the
// session, it gives the record up.
func (c *claim) leave(release bool) {
	c.drop()
	if c.leftAt = c.m.now; release && c.bid {
		c.push(job{kind: jobRelease})
	}
}

// drop forgets all jobs. The answer to an outstanding request may still come.
func (c *claim) drop() {
	c.jobs = c.jobs[:min(1, len(c.jobs))]
	switch {
	case len(c.jobs) == 1 && c.op == 0:
		c.jobs = nil
	case len(c.jobs) == 1:
		c.jobs[0].kind = jobVoid
	}
}
