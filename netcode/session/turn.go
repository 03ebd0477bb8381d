package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// turn gives the hub to one goroutine at a time. Those of a front door serve the
// connections of many shards, so none of them may wait until a shard has done with
// its hub: they leave a call, which whoever has the hub makes before giving it back.
type turn struct {
	hub   *hub
	clock func() time.Time

	mu sync.Mutex // whoever holds it has the hub

	left struct {
		waits atomic.Bool // there are calls
		mu    sync.Mutex  // guards what follows; whoever holds it takes no other lock
		calls []func()    // in the order in which they came
		bytes int         // what they hold of the clients' messages
	}
}

// maxLeft bounds the bytes of clients' messages that wait for a hub. A shard whose
// tick does not end reaches it.
const maxLeft = 1 << 20

// take waits for the hub. The caller gives it back.
func (t *turn) take() {
	t.mu.Lock()
	t.begin()
}

// tryTake takes the hub unless somebody else has it.
func (t *turn) tryTake() bool {
	if !t.mu.TryLock() {
		return false
	}
	t.begin()
	return true
}

// begin makes the calls that were left, so that those of one connection keep their
// order.
func (t *turn) begin() {
	t.hub.now = t.clock()
	if !t.left.waits.Load() {
		return
	}
	t.left.mu.Lock()
	calls := t.left.calls
	t.left.calls, t.left.bytes = nil, 0
	t.left.waits.Store(false)
	t.left.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// give gives the hub back, and makes the calls that were left meanwhile.
func (t *turn) give() {
	t.mu.Unlock()
	t.catchUp()
}

// catchUp makes the calls that were left, unless somebody else has the hub: then
// that one makes them.
func (t *turn) catchUp() {
	for t.left.waits.Load() && t.tryTake() {
		t.mu.Unlock()
	}
}

// leave has f called, at once if nobody has the hub. It never waits for the hub. bytes
// is what f holds of a client's message: leave drops f, and returns false, if too many
// wait. It never drops an f that holds none.
func (t *turn) leave(bytes int, f func()) bool {
	t.left.mu.Lock()
	room := bytes == 0 || t.left.bytes+bytes <= maxLeft
	if room {
		t.left.calls = append(t.left.calls, f)
		t.left.bytes += bytes
		t.left.waits.Store(true)
	}
	t.left.mu.Unlock()
	t.catchUp()
	return room
}
