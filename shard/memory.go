package shard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// Coordinator is an in-memory coordination service for one shard, with the same rules as the real one, for tests and
// benchmarks. Safe for concurrent use.
type Coordinator struct {
	mu       sync.Mutex
	standing Standing
	expiry   map[int64]time.Time
	leases   int64
	changed  chan struct{} // closed at each change
}

// NewCoordinator returns an empty service.
func NewCoordinator() *Coordinator {
	return &Coordinator{expiry: map[int64]time.Time{}, changed: make(chan struct{})}
}

// Standing returns the shard's standing, as Ownership.Read does.
func (c *Coordinator) Standing() Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	return c.standing
}

// Edit changes the standing, as an operator does.
func (c *Coordinator) Edit(edit func(*Standing)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(&c.standing)
	c.bump()
}

func (c *Coordinator) bump() {
	c.standing.Revision++
	close(c.changed)
	c.changed = make(chan struct{})
}

// expire drops the owner key of a dead lease.
func (c *Coordinator) expire() {
	if c.standing.Owner != "" && !time.Now().Before(c.expiry[c.standing.OwnerLease]) {
		c.standing.Owner, c.standing.OwnerLease = "", 0
		c.bump()
	}
}

// Member is a node of a Coordinator: its Ownership and its Lease. Every read of the lease's state renews it, until Cut.
type Member struct {
	c    *Coordinator
	id   string
	ttl  time.Duration
	mu   sync.Mutex
	held LeaseState
	cut  bool
}

// Member returns a node with a new lease.
func (c *Coordinator) Member(id string, ttl time.Duration) *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leases++
	m := &Member{c: c, id: id, ttl: ttl, held: LeaseState{ID: c.leases, Sent: time.Now(), TTL: ttl}}
	c.expiry[m.held.ID] = m.held.Sent.Add(ttl)
	return m
}

// Cut ends all renewals of the lease, as a broken network does.
func (m *Member) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = true
}

// State returns the lease.
func (m *Member) State() LeaseState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); !m.cut && now.Sub(m.held.Sent) >= m.ttl/3 {
		m.c.mu.Lock()
		if now.Before(m.c.expiry[m.held.ID]) {
			m.c.expiry[m.held.ID] = now.Add(m.ttl)
			m.held.Sent = now
		}
		m.c.mu.Unlock()
	}
	return m.held
}

// Read returns the standing.
func (m *Member) Read(ctx context.Context) (Standing, error) { return m.c.Standing(), ctx.Err() }

// Await blocks until the owner of s is gone or something else changed.
func (m *Member) Await(ctx context.Context, s Standing) error {
	for {
		m.c.mu.Lock()
		m.c.expire()
		now, changed, left := m.c.standing, m.c.changed, time.Until(m.c.expiry[s.OwnerLease])
		m.c.mu.Unlock()
		if now.Owner != s.Owner || now.Halted != s.Halted {
			return nil
		}
		if s.Owner == "" { // no lease can end: only a change ends the wait
			left = time.Hour
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(max(left, time.Millisecond)):
		}
	}
}

// Claim implements Ownership: it writes the owner and the epoch.
func (m *Member) Claim(ctx context.Context, b Bid) (bool, error) {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	st := &c.standing
	if st.Owner != "" || st.Halted != "" || st.Ended || st.EpochRevision != b.EpochRevision || !time.Now().Before(c.expiry[b.Lease]) {
		return false, ctx.Err()
	}
	c.bump()
	st.Owner, st.OwnerLease, st.Epoch, st.EpochRevision, st.Lineage = b.Node, b.Lease, b.Epoch, st.Revision, b.Lineage
	return true, ctx.Err()
}

// Note writes the parts of n that are set.
func (m *Member) Note(ctx context.Context, n Note) error {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Attempt.Tick > 0 {
		c.standing.Attempt = n.Attempt
	}
	if n.Lived > 0 && c.standing.Attempt.Epoch == n.Lived {
		c.standing.Attempt = Attempt{}
	}
	if n.Halted != "" {
		c.standing.Halted, c.standing.Attempt = n.Halted, Attempt{}
		c.bump()
	}
	high := &c.standing.High
	switch {
	case n.High.Epoch == 0:
	case n.High.Epoch < high.Epoch:
		return fmt.Errorf("%w: epoch %d has already noted sequence %d", ErrFenced, high.Epoch, high.Seq)
	case n.High.Epoch > high.Epoch || n.High.Seq > high.Seq:
		*high = n.High
	}
	return ctx.Err()
}

// Release releases the owner key.
func (m *Member) Release(ctx context.Context, epoch persistence.Epoch, clean bool) error {
	c := m.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := &c.standing; st.Owner == m.id && st.Epoch == epoch {
		st.Owner, st.OwnerLease = "", 0
		c.bump()
	}
	if clean && c.standing.Attempt.Epoch == epoch {
		c.standing.Attempt = Attempt{}
	}
	return ctx.Err()
}
