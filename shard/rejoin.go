package shard

import (
	"errors"
	"time"
)

// Ended says how a run of a host ended, or an attempt to begin one.
type Ended struct {
	Err   error         // nil: it was asked to stop
	Owned time.Duration // how long it owned the shard; 0: it never did
}

// Next is what a node does when a host of its shard has ended.
type Next struct {
	Exit  bool          // nothing that this process can do brings the shard back here
	After time.Duration // else it runs a new host after this pause
}

// The pauses of a [Rejoin].
const (
	rejoinFirst  = 100 * time.Millisecond
	rejoinMost   = 2 * time.Second
	rejoinSteady = 2 * time.Second
)

// Rejoin decides whether a node comes back after a host of its shard has ended: a function of what
// ended and of what ended before, without a clock. A lost lease, a fence, a halt and a service that
// does not answer are no reasons to exit, since each can be over a moment later and the process
// that waits is the one that needs no start. The zero value is ready.
type Rejoin struct {
	pause time.Duration // the one before
}

// Next takes an end and says what follows. Pauses double from 100 ms to 2 s while hosts end early,
// and begin anew behind one that owned the shard for 2 s.
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

// Final reports whether an error ends a node for good: the log is of another game, of other options
// or of a schema that this build cannot read, and will be so at every later attempt.
func Final(err error) bool { return errors.Is(err, ErrRefused) }
