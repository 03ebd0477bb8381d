package client

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
)

// How a client looks for its shard.
const (
	firstPause = 50 * time.Millisecond // between two attempts; each is twice as long as the one before
	maxMoves   = 4                     // nodes that send the client on to another one, before it pauses
	deadFor    = 3 * time.Second       // so long nobody sends the client to a node that did not answer it
)

// run connects again and again until the client ends.
func (s *session) run() {
	c := s.c
	defer close(c.done)
	pause, moves := firstPause, 0
	for try := 0; ; try++ {
		address := cmp.Or(s.moved, s.addresses[try%len(s.addresses)])
		s.moved = ""
		err := s.connection(address)
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		if errors.Is(err, ErrClosed) {
			return
		}
		s.follow(address, err)
		if s.welcomed {
			pause = firstPause
			c.counters.drops.Add(1)
			s.remember(address)
		}
		if !s.again(err) {
			return
		}
		c.cfg.Logger.Info("client: reconnecting", "identity", c.cfg.Identity, "after", err)
		if s.moved != "" {
			try-- // an address of its own
			if moves++; moves <= maxMoves && s.moved != address {
				continue
			}
		}
		moves = 0
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-c.stop:
			c.mu.Lock()
			c.err = ErrClosed
			c.mu.Unlock()
			return
		}
		pause = min(2*pause, c.cfg.BackOff)
	}
}

// follow notes where an attempt at an address sends the client: not to a node that has just not answered, since whoever
// names that one will know more in a moment.
func (s *session) follow(address string, err error) {
	bye := (*ByeError)(nil)
	switch {
	case errors.As(err, &bye):
		if s.moved = bye.at; s.moved == s.dead && time.Since(s.died) < deadFor {
			s.moved = address
		}
	case !s.welcomed:
		s.dead, s.died = address, time.Now()
	}
}

// again reports whether another attempt makes sense after err.
func (s *session) again(err error) bool {
	c := s.c
	if s.welcomed && c.cfg.NoResume {
		return false
	}
	var bye *ByeError
	if !errors.As(err, &bye) {
		s.elsewhere = 0
		return true
	}
	if bye.Reason != wirepb.Reason_REASON_WRONG_SHARD {
		s.elsewhere = 0
	}
	switch bye.Reason {
	case wirepb.Reason_REASON_SHUTDOWN, wirepb.Reason_REASON_NOT_OWNER, wirepb.Reason_REASON_FULL, wirepb.Reason_REASON_TOO_MUCH,
		wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, wirepb.Reason_REASON_IDLE, wirepb.Reason_REASON_SLOW,
		wirepb.Reason_REASON_ADDRESS_FULL, wirepb.Reason_REASON_IDENTITY_FULL, wirepb.Reason_REASON_TOO_MANY_JOINS, wirepb.Reason_REASON_SILENT:
		return true
	case wirepb.Reason_REASON_WRONG_SHARD:
		if s.moved != "" {
			s.elsewhere = 0
			return true
		}
		s.elsewhere++
		return s.elsewhere < len(s.addresses)
	case wirepb.Reason_REASON_UNKNOWN_SESSION, wirepb.Reason_REASON_LEFT:
		if c.cfg.NoRejoin {
			return false
		}
		c.mu.Lock()
		c.token = ResumeToken{}
		c.mu.Unlock()
		return true
	}
	return false
}

// remember keeps the address of a node at which the client had a session: it may be the only one that knows the shard.
func (s *session) remember(address string) {
	if given := s.addresses[:s.given]; !slices.Contains(given, address) {
		s.addresses = append(given, address)
	}
}
