package gateway

import (
	"cmp"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// binding is a session's connection to one type of service: the instance that gets its requests, in order.
type binding struct {
	m     *machine
	claim *claim // the player's; nil if nobody is logged in: the session then has an instance to itself
	kind  string

	instance string        // "": not found yet
	fresh    bool          // the session has had no instance of this type yet
	finding  bool          // looking for an instance
	began    time.Duration // when the search began
	wakeAt   time.Duration // when tick has work to do; 0: never
	op       uint64        // outstanding request to the directory; 0: none
	avoid    string        // an instance that turned out to be missing
	prefer   string        // the instance to bind the player to
	next     string        // the instance found; it takes over when out is 0, or at wakeAt at the latest
	queue    []*request    // in the order of seq
	room     [4]*request   // backing array of a short queue, which most are
	out      int           // requests sent but not answered
	pumping  bool          // the queue is being sent
	over     bool          // the session has another player now: send nothing new
}

// searchEvery is the pause between two searches for an instance.
const searchEvery = 50 * time.Millisecond

// pump sends the queued requests.
func (b *binding) pump() {
	if b.pumping {
		return // the caller that is pumping continues
	}
	b.pumping = true
	for len(b.queue) > 0 && b.instance != "" {
		r := b.queue[0]
		b.queue[0] = nil
		if b.queue = b.queue[1:]; len(b.queue) == 0 {
			b.queue = b.room[:0]
		}
		left := r.deadline - b.m.now
		if left <= 0 {
			b.m.conclude(r, failure(rpc.DeadlineExceeded, "no instance of %s in time", b.kind))
			continue
		}
		b.out++
		r.sent, r.instance, r.req.Timeout = true, b.instance, left
		b.m.do(action{kind: actSend, r: r, serviceType: b.kind, instance: b.instance})
	}
	b.pumping = false
	if len(b.queue) > 0 && !b.finding && !b.m.closed {
		b.find("")
	}
}

// elsewhere reports whether a request may be sent to another instance. It may if its receiver, or NATS without a
// receiver, says that no handler began it and that another instance may do better.
func elsewhere(e *rpc.Error) bool { return e != nil && e.NotBegun && e.Code == rpc.Unavailable }

// sendAgain requeues, in its old place, a request that no instance received.
func (b *binding) sendAgain(r *request) {
	r.again = true
	b.m.counters.again.Add(1)
	at, _ := slices.BinarySearchFunc(b.queue, r.seq, func(q *request, seq uint64) int { return cmp.Compare(q.seq, seq) })
	b.queue = slices.Insert(b.queue, at, r)
	b.lose(r.instance)
	b.settle()
	b.pump()
}

// lose forgets an instance that is gone.
func (b *binding) lose(instance string) {
	if b.instance == instance || b.instance == "" && b.next != instance {
		b.instance, b.avoid = "", instance
	}
	if b.next == instance {
		b.next = ""
		b.retry(0)
	}
}

// find looks for an instance. prefer is the instance to bind the player to; with "" the directory chooses.
func (b *binding) find(prefer string) {
	if b.over {
		b.give(failure(rpc.Aborted, "the session has logged in as another player"))
		return
	}
	b.finding, b.prefer, b.began = true, prefer, b.m.now
	b.look()
}

// look asks for an instance once. After the grace, it no longer avoids the missing instance, which may be back under its
// name.
func (b *binding) look() {
	b.wakeAt = 0
	if b.m.now >= b.began+b.m.limits.Grace {
		b.avoid = ""
	}
	if b.claim == nil {
		b.op = b.m.request(action{kind: actFind, serviceType: b.kind, details: &details{avoid: b.avoid, key: b.m.id, picks: true}})
		return
	}
	b.claim.push(job{kind: jobPlace, b: b, avoid: b.avoid, prefer: b.prefer, fresh: b.fresh})
}

// found takes the directory's choice for a session without a player.
func (b *binding) found(f found) {
	b.op = 0
	b.placed(f.other)
}

// placed takes the instance that was found, or "" if none accepts new players.
func (b *binding) placed(instance string) {
	switch {
	case !b.finding || b.over:
		return
	case instance != "" && instance == b.avoid && b.m.now < b.began+b.m.limits.Grace:
		b.retry(searchEvery) // lost since the search asked for it
	case instance != "":
		b.next = instance
		b.wakeAt = b.m.now + b.m.limits.Grace
		b.m.wake(b.wakeAt)
		b.settle()
	case b.m.now >= b.began+b.m.limits.FindTimeout:
		b.fail(rpc.Errorf(rpc.Unavailable, "no instance of %s accepts new players", b.kind))
	default:
		b.retry(searchEvery)
	}
}

// retry looks again after a pause.
func (b *binding) retry(pause time.Duration) {
	b.wakeAt = b.m.now + pause
	b.m.wake(b.wakeAt)
}

// settle switches to the instance that was found, once the previous instance has answered everything it was sent, or the
// grace is over. So requests to two instances do not overlap.
func (b *binding) settle() {
	if b.next == "" || b.out > 0 && b.m.now < b.wakeAt {
		return
	}
	b.instance, b.next, b.finding, b.avoid, b.prefer, b.fresh, b.wakeAt = b.next, "", false, "", "", false, 0
	if l := b.m.login; l != nil && l.named != "" && l.r.route.Type == b.kind && b == b.m.bound(b.kind) {
		b.m.confirm()
	}
	b.pump()
}

// tick does the work that is due.
func (b *binding) tick() {
	if b.wakeAt == 0 || b.m.now < b.wakeAt {
		return
	}
	if b.next != "" {
		b.settle()
		return
	}
	b.look()
}

// fail ends the search and fails the queued requests.
func (b *binding) fail(err *rpc.Error) {
	b.finding, b.avoid, b.prefer, b.wakeAt = false, "", "", 0
	if l := b.m.login; l != nil && l.named != "" && l.r.route.Type == b.kind && b == b.m.bound(b.kind) && len(b.queue) == 0 {
		err.Maybe = true // its handler has run
		b.m.refuse(rpc.Response{Err: err})
		return
	}
	b.give(rpc.Response{Err: err})
}

// give answers all queued requests with a.
func (b *binding) give(a rpc.Response) {
	queue := b.queue
	b.queue = nil
	for _, r := range queue {
		b.m.conclude(r, a)
	}
}

// stop ends the binding's search and its timer.
func (b *binding) stop() { b.over, b.finding, b.next, b.wakeAt = true, false, "", 0 }

// abandon ends the binding when the session changes its player. Requests already sent still get their answers.
func (b *binding) abandon() {
	if b.claim == nil || b.over {
		return
	}
	b.stop()
	b.give(failure(rpc.Aborted, "the session has logged in as another player"))
}
