package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// moody is a log and a coordination service that fail on a test's request.
type moody struct {
	persistence.LogWriter
	*Member
	append, note atomic.Pointer[error]
}

func (m *moody) Append(ctx context.Context, msg persistence.Message, expect persistence.Seq) error {
	if err := m.append.Load(); err != nil {
		return *err
	}
	return m.LogWriter.Append(ctx, msg, expect)
}

func (m *moody) Read(ctx context.Context) (Standing, error) {
	if err := m.note.Load(); err != nil {
		return Standing{}, *err
	}
	return m.Member.Read(ctx)
}

func (m *moody) Note(ctx context.Context, n Note) error {
	if err := m.note.Load(); err != nil {
		return *err
	}
	return m.Member.Note(ctx, n)
}

// moodyLog is moody's log. It inherits Read.
type moodyLog struct {
	persistence.LogWriter
	m *moody
}

func (l moodyLog) Append(ctx context.Context, msg persistence.Message, expect persistence.Seq) error {
	return l.m.Append(ctx, msg, expect)
}

// TestConditionsSayWhatIsTheMatter causes each condition of a running host, checks it, ends it, and checks that it is over.
func TestConditionsSayWhatIsTheMatter(t *testing.T) {
	appendFails, noteFails := func(m *moody, err *error) { m.append.Store(err) }, func(m *moody, err *error) { m.note.Store(err) }
	silence := errors.New("no answer within 2 s")
	for _, c := range []struct {
		kind ConditionKind
		err  error
		fail func(*moody, *error)
		stop bool
		says []string
	}{
		{AwaitsNATS, fmt.Errorf("%w: %w", persistence.ErrAmbiguous, silence), appendFails, true, []string{"waits for the commit of record", "no answer within 2 s", "--nats"}},
		{LogFull, persistence.ErrFull, appendFails, true, []string{"record", "--log-bytes", "wind log purge main"}},
		{DiskFull, persistence.ErrDiskFull, appendFails, true, []string{"record", "free space"}},
		{ReadOnly, persistence.ErrReadOnly, appendFails, true, []string{"record", "writable"}},
		{Behind, fmt.Errorf("%w: %w", persistence.ErrAmbiguous, silence), appendFails, true, []string{"is behind by", "ticks"}},
		{AwaitsEtcd, silence, noteFails, false, []string{"does not accept its notes", "--etcd"}},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestbed(t)
				m := &moody{LogWriter: b.store.Log()}
				h, _, _ := b.host("a", func(cfg *HostConfig) {
					m.Member = cfg.Ownership.(*Member)
					cfg.Ownership, cfg.Log = m, moodyLog{cfg.Log, m}
				})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- h.Run(ctx) }()
				time.Sleep(time.Second)
				if all := h.Stats().Conditions; len(all) != 0 {
					t.Errorf("all is well, and it says %+v", all)
				}
				c.fail(m, &c.err)
				time.Sleep(4 * time.Second)
				held := find(h.Stats().Conditions, c.kind)
				for _, part := range c.says {
					if !strings.Contains(held.Text, part) {
						t.Errorf("no %q in %q", part, held.Text)
					}
				}
				if Healthy(h.Stats().Conditions) == c.stop || time.Since(held.Since) > 5*time.Second {
					t.Errorf("of %+v", h.Stats().Conditions)
				}
				c.fail(m, nil)
				time.Sleep(4 * time.Second)
				if all := h.Stats().Conditions; len(all) != 0 {
					t.Errorf("all is well again, and it says %+v", all)
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				b.check(walk(0))
			})
		})
	}
}

func find(all []Condition, kind ConditionKind) Condition {
	for _, c := range all {
		if c.Kind == kind {
			return c
		}
	}
	return Condition{}
}

// TestConditionsBeforeAShardIsOwned: a node also reports what keeps it from owning a shard.
func TestConditionsBeforeAShardIsOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		owner, _, _ := b.host("a", nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- owner.Run(ctx) }()
		time.Sleep(time.Second)

		m := &moody{LogWriter: b.store.Log()}
		silence := errors.New("etcdserver: no leader")
		m.note.Store(&silence)
		waiting, _, _ := b.host("b", func(cfg *HostConfig) {
			m.Member = cfg.Ownership.(*Member)
			cfg.Ownership = m
		})
		go func() { ended <- waiting.Run(ctx) }()
		time.Sleep(3 * time.Second)
		if c := find(waiting.Stats().Conditions, AwaitsEtcd); !strings.Contains(c.Text, "no leader") || !c.Stops {
			t.Errorf("while etcd has no leader: %+v", waiting.Stats().Conditions)
		}
		m.note.Store(nil)
		time.Sleep(3 * time.Second)
		if c := find(waiting.Stats().Conditions, AwaitsOwner); !strings.Contains(c.Text, "node a owns shard main (epoch 1)") || c.Stops {
			t.Errorf("while another node owns it: %+v", waiting.Stats().Conditions)
		}
		b.coord.Edit(func(s *Standing) { s.Halted = "an operator's whim" })
		time.Sleep(time.Second)
		if c := find(waiting.Stats().Conditions, Halted); !strings.Contains(c.Text, "an operator's whim") || !c.Stops {
			t.Errorf("while it is halted: %+v", waiting.Stats().Conditions)
		}
		stop()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, ErrHalted) {
				t.Error(err)
			}
		}
	})
}
