package shard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// notary is a member that gathers notes, as etcd.Shard does.
type notary struct {
	*Member
	at     []time.Duration // of the marks, since began
	began  time.Time
	marks  []persistence.Mark
	refuse bool
	ctx    context.Context
}

func (n *notary) NoteSoon(m persistence.Mark, done func(error)) {
	n.at, n.marks = append(n.at, time.Since(n.began)), append(n.marks, m)
	time.AfterFunc(time.Second, func() {
		if n.refuse {
			done(ErrFenced)
			return
		}
		done(n.Note(n.ctx, Note{High: m}))
	})
}

// TestARoomsMarkIsNotedWithOthers: every 10 s, without a goroutine that waits for it, and once more at the end. A mark that is
// refused ends the host.
func TestARoomsMarkIsNotedWithOthers(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			n := &notary{began: time.Now(), refuse: refuse, ctx: t.Context()}
			h, p, _ := b.host("a", func(c *HostConfig) {
				n.Member = c.Ownership.(*Member)
				c.Ownership, c.NoWait = n, true
			})
			err := b.run(h, 35*time.Second)
			if refuse {
				if !errors.Is(err, ErrFenced) || len(n.marks) != 1 || p.count() > 340 {
					t.Errorf("after %d refused marks and %d ticks: %v", len(n.marks), p.count(), err)
				}
				return
			}
			if err != nil || len(n.marks) != 3 {
				t.Fatalf("marks %v at %v: %v", n.marks, n.at, err)
			}
			for i, at := range n.at {
				if late := at - time.Duration(i+1)*11*time.Second; late < -2*time.Second || late > time.Second {
					t.Errorf("mark %d was noted after %v", i, at)
				}
			}
			if high := b.coord.Standing().High; high.Seq != h.owner.Last() {
				t.Errorf("at the end the mark is %v, and the log ends at %d", high, h.owner.Last())
			}
		})
	}
}
