package bus

import (
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// MaxPending bounds the requests of a bus that wait for their answers.
const MaxPending = 1 << 17

// The wheel of timeouts: a request expires at most one slot turn late, and costs nothing until then.
const (
	wheelSlots = 512
	wheelTurn  = 20 * time.Millisecond
)

// patience is how long a sender must wait before silence says anything about the receiver.
const patience = time.Second / 2

// call is a request waiting for its answer.
type call struct {
	token          uint64
	kind, instance string
	gone           bool  // its instance is gone: the call ends soon
	left           bool  // its instance has left the directory
	patient        bool  // its sender waits for patience or longer
	raw            bool  // take the answer's payload unparsed, even an error's
	until          int64 // turn of the wheel at which the call ends
	done           func(rpc.Response)
	prev, next     *call // in its slot
}

// pending is the table of waiting requests. The goroutine that removes a call answers it, so each is answered once.
type pending struct {
	start time.Time

	mu     sync.Mutex
	calls  map[uint64]*call
	slots  [wheelSlots]*call
	turn   int64 // last turn that expire has processed
	token  uint64
	closed bool
	gone   map[rpc.Address]int64 // missing instances, and the turn in which missing handled each
}

func newPending() *pending {
	return &pending{start: time.Now(), calls: map[uint64]*call{}, gone: map[rpc.Address]int64{}}
}

func (p *pending) turnOf(t time.Time) int64 { return int64(t.Sub(p.start) / wheelTurn) }

// add enters a call, or says why it cannot. If it refuses, nothing was sent.
func (p *pending) add(c *call, timeout time.Duration) (token uint64, refused *rpc.Error) {
	until := p.turnOf(time.Now().Add(timeout)) + 1
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, rpc.NotBegun(rpc.Unavailable, "the bus is closed")
	case len(p.calls) >= MaxPending:
		return 0, rpc.NotBegun(rpc.ResourceExhausted, "%d requests are already waiting for their answers", MaxPending)
	}
	p.token++
	c.token, c.until, c.patient = p.token, max(until, p.turn+1), timeout >= patience
	p.enter(c)
	return c.token, nil
}

func (p *pending) enter(c *call) {
	p.calls[c.token] = c
	slot := &p.slots[c.until%wheelSlots]
	if c.next = *slot; c.next != nil {
		c.next.prev = c
	}
	*slot = c
}

// goneGrace is how long answers may still be on their way from an instance that is gone.
const goneGrace = time.Second

// missing records that c's instance was not there. Earlier requests to it fail after goneGrace unless their answers
// arrive first. Otherwise they would wait for the instance's lease in the directory, which may last for seconds.
func (p *pending) missing(c *call) {
	at := rpc.Address{Type: c.kind, ID: c.instance}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.turnOf(time.Now())
	if last, ok := p.gone[at]; ok && !c.left && now-last < int64(goneGrace/wheelTurn)/4 {
		return // few requests have come since
	}
	if len(p.gone) >= 1024 {
		clear(p.gone)
	}
	p.gone[at] = now
	until := max(now, p.turn) + int64(goneGrace/wheelTurn)
	var early []*call
	for _, o := range p.calls {
		mine := o.instance == c.instance || c.left && o.instance == ""
		if mine && o.kind == c.kind && o.token < c.token && o.until > until {
			early = append(early, o)
		}
	}
	for _, o := range early {
		p.remove(o)
		o.until, o.gone = until, true
		p.enter(o)
	}
}

// take removes a call. It returns nil if the call was already taken.
func (p *pending) take(token uint64) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.calls[token]
	if c != nil {
		p.remove(c)
	}
	return c
}

func (p *pending) remove(c *call) {
	delete(p.calls, c.token)
	if c.prev == nil {
		p.slots[c.until%wheelSlots] = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// expire removes the calls whose time is up.
func (p *pending) expire(now time.Time) (late []*call) {
	until := p.turnOf(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	from := max(p.turn+1, until-wheelSlots+1) // after a long pause, one round visits every slot
	for t := from; t <= until; t++ {
		for c := p.slots[t%wheelSlots]; c != nil; {
			next := c.next
			if c.until <= until {
				p.remove(c)
				late = append(late, c)
			}
			c = next
		}
	}
	p.turn = max(p.turn, until)
	return late
}

// takeAll removes the calls that match.
func (p *pending) takeAll(match func(*call) bool) (taken []*call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if match(c) {
			p.remove(c)
			taken = append(taken, c)
		}
	}
	return taken
}

// close refuses further calls and returns those that are waiting.
func (p *pending) close() []*call {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return p.takeAll(func(*call) bool { return true })
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}
