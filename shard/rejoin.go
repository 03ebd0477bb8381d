package shard

import (
	"errors"
	"time"
)

// Ended says how a host's run ended, or an attempt to begin one.
type Ended struct {
	Err   error         // nil: the host was asked to stop
	Owned time.Duration // how long it owned the shard; 0: never
}

// Next says what a node does after a host of its shard has ended.
type Next struct {
	Exit  bool          // exit: this process cannot bring the shard back
	After time.Duration // otherwise, run a new host after this pause
}

// The pauses of a [Rejoin].
const (
	rejoinFirst  = 100 * time.Millisecond
	rejoinMost   = 2 * time.Second
	rejoinSteady = 2 * time.Second
)

// Rejoin decides whether a node comes back after a host of its shard has ended. It depends only on this end and the earlier
// ones, and has no clock. A lost lease, a fence, a halt or a silent service is no reason to exit: each can be over a moment
// later, and a waiting process is faster than a new one. The zero value is ready.
type Rejoin struct {
	pause time.Duration // the previous one
}

// Next returns what to do after an end. Pauses double from 100 ms to 2 s while hosts end early, and start at 100 ms again
// after a host that owned the shard for 2 s.
func (r *Rejoin) Next(e Ended) Next {
	if e.Err == nil || Final(e.Err) {
		return Next{Exit: true}
	}
	if e.Owned >= rejoinSteady {
		r.pause = 0
	}
	r.pause = min(max(2*r.pause, rejoinFirst), rejoinMost)
	return Next{After: r.pause}
}

// Final reports whether an error ends a shard's host for good, because every later attempt would find the same: the room has
// ended, or the log has another game, other options or a schema that this build cannot read; or because the host was not to wait.
func Final(err error) bool {
	return errors.Is(err, ErrRefused) || errors.Is(err, ErrEnded) || errors.Is(err, ErrOwned)
}
