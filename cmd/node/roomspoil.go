package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/shard"
)

// A game's Setup may panic, or never return, for the options of one room. That happens before the room has an owner, so the
// protocol of owners (shard/OWNERSHIP.md, section 4) does not count it. The node counts it in the same note: two such starts, on
// any nodes, halt the room.

// patience says how long a node waits for what a game does in a room. Tests wait less long.
type patience struct {
	setup time.Duration // for the game's Setup
	step  time.Duration // for a tick's step
	stop  time.Duration // for that step, once it is given up
	again time.Duration // before this node tries a room again that it could not host
	place time.Duration // before an operator hears that no node archives a room that asks for it
}

func (p patience) withDefaults() patience {
	return patience{
		setup: cmp.Or(p.setup, 10*time.Second), step: cmp.Or(p.step, 10*time.Second),
		stop: cmp.Or(p.stop, shard.DefaultStopTimeout), again: cmp.Or(p.again, 5*time.Second), place: cmp.Or(p.place, time.Minute),
	}
}

// errSetupHangs says that the game's Setup does not return.
var errSetupHangs = errors.New("the Setup of the game hangs")

// spoiled reports whether a start failed in the game's Setup.
func spoiled(err error) bool {
	panics := (*ecs.SetupPanic)(nil)
	return errors.As(err, &panics) || errors.Is(err, errSetupHangs)
}

// newHost is shard.New, for a room with bounded patience: a Setup that hangs keeps its goroutine, and stops nobody else.
func (h *hosted) newHost(c shard.HostConfig) (*shard.Host, error) {
	if !h.noWait {
		return shard.New(c)
	}
	type made struct {
		host *shard.Host
		err  error
	}
	done := make(chan made, 1)
	go func() {
		host, err := shard.New(c)
		done <- made{host, err}
	}()
	patience := h.node.config.patience.setup
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case m := <-done:
		return m.host, m.err
	case <-late.C:
		return nil, fmt.Errorf("%w: it has not returned within %s; the goroutine that runs it takes a processor until this process ends", errSetupHangs, patience)
	}
}

// noteSpoiled counts a start of a room that failed in Setup. The second one halts the room, unless a node has run it before: then
// the build of this node is to blame.
func (r *rooms) noteSpoiled(h *hosted, reason error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), endTimeout)
	defer cancel()
	st, err := h.ownership.Read(ctx)
	if err != nil || st.Epoch > 0 || st.Owner != "" || st.Halted != "" {
		return
	}
	note := shard.Note{Attempt: shard.Attempt{Tick: 1, Count: 1}}
	if st.Attempt.Tick == 1 {
		note.Attempt.Count = st.Attempt.Count + 1
	}
	if note.Attempt.Count >= 2 {
		note = shard.Note{Halted: fmt.Sprintf("%d starts failed before its first tick: %v", note.Attempt.Count, reason)}
	}
	switch err := h.ownership.Note(ctx, note); {
	case err != nil:
		r.node.config.Logger.Warn("a start that failed is not noted", "room", h.name, "error", err)
	case note.Halted != "":
		r.node.config.Logger.Error("the room is halted: "+shard.WayOut(shard.Halted, h.name), "room", h.name, "reason", note.Halted)
	}
}
