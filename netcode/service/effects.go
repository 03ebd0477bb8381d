package service

import (
	"errors"
	"sync/atomic"

	"github.com/ferris1/wind/netcode/rpc"
)

// effects records what the runtime knows about a handler's actions: whether it has begun, and whether an effect may have
// left. The runtime cannot see what a handler in Go does outside its Ctx; such a handler sets rpc.Error.Maybe itself.
type effects struct {
	begun  bool
	left   atomic.Bool // atomic: code that a handler starts may use its Ctx elsewhere
	memory uint64      // how often the handler had touched memory when it was last suspended
	mark   uint64      // memory.touched when the handler last continued
}

// begin marks the handler as begun. Call it after every check that can refuse the request: from here on, only the
// handler knows what was done.
func (c *Ctx) begin() {
	c.effects.begun = true
	c.effects.resume(c.s.memory)
}

// pause counts the handler's accesses to memory before other handlers run.
func (x *effects) pause(m *memory) { x.memory += m.touched - x.mark }

func (x *effects) resume(m *memory) { x.mark = m.touched }

// sent records a message to another party. It is an effect unless its error says that nothing left.
func (x *effects) sent(err error) {
	var e *rpc.Error
	if err == nil || !errors.As(err, &e) || e.Maybe {
		x.left.Store(true)
	}
}

// written records a write to the store. A write that lost to another revision changed nothing.
func (x *effects) written(ok bool, err error) {
	if ok || err != nil {
		x.sent(err)
	}
}

// told converts an error for the handler's caller. Once the handler has begun, it clears NotBegun. It sets Maybe if the
// error is not a refusal or follows an effect.
func (c *Ctx) told(e *rpc.Error) *rpc.Error {
	x := &c.effects
	if !x.begun {
		return e
	}
	own := *e
	own.NotBegun = false
	own.Maybe = e.Maybe || !e.Code.Refusal() || x.left.Load() || x.memory+c.s.memory.touched-x.mark > 0
	return &own
}
