package service

import (
	"errors"
	"sync/atomic"

	"github.com/ferris1/wind/netcode/rpc"
)

// effects is what the runtime knows of a handler's doings: whether it has begun, and whether anything that it did has left
// it. What a handler in Go does past its Ctx nobody sees: it says so itself, with rpc.Error.Maybe.
type effects struct {
	begun  bool
	left   atomic.Bool // what a handler starts may use its Ctx elsewhere
	memory uint64      // how often the handler has touched memory, until it was last suspended
	mark   uint64      // memory.touched when it went on
}

// begin is called when everything that can be refused was looked at: from here on, only the handler knows.
func (c *Ctx) begin() {
	c.effects.begun = true
	c.effects.resume(c.s.memory)
}

// pause counts what the handler has done to memory, before others touch it.
func (x *effects) pause(m *memory) { x.memory += m.touched - x.mark }

func (x *effects) resume(m *memory) { x.mark = m.touched }

// sent notes a message to somebody else: an effect, unless its error says that none has left.
func (x *effects) sent(err error) {
	var e *rpc.Error
	if err == nil || !errors.As(err, &e) || e.Maybe {
		x.left.Store(true)
	}
}

// written notes a write to the store. One that lost against another revision has changed nothing.
func (x *effects) written(ok bool, err error) {
	if ok || err != nil {
		x.sent(err)
	}
}

// told is an error as the caller of the handler gets it. Once it has begun, nobody may take the request for one that has
// not, and an error that is no refusal, or that follows an effect, says that something may have been done.
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
