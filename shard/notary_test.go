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
	lived  []Note
	refuse bool
	ctx    context.Context
}

func (n *notary) Note(ctx context.Context, x Note) error {
	if x.Lived > 0 {
		n.lived = append(n.lived, x)
	}
	return n.Member.Note(ctx, x)
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

// stuck is a delta stream that does not answer.
type stuck struct{ persistence.DeltaWriter }

func (stuck) Publish(ctx context.Context, _ []persistence.Delta) error {
	<-ctx.Done()
	return ctx.Err()
}

// strict is a member that does nothing once the caller's time is over.
type strict struct{ *Member }

func (s strict) Note(ctx context.Context, n Note) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Member.Note(ctx, n)
}

// TestAStopNotesTheLastSequenceWhateverTheDeltasDo: the wait for the ring takes nothing from the time for the note.
func TestAStopNotesTheLastSequenceWhateverTheDeltasDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) {
			c.Deltas, c.Ownership = stuck{b.store.Deltas()}, strict{c.Ownership.(*Member)}
		})
		if err := b.run(h, 5500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if high := b.coord.Standing().High; high.Seq != h.owner.Last() {
			t.Errorf("the mark is %v, and the log ends at %d", high, h.owner.Last())
		}
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
			if len(n.lived) != 1 || n.lived[0].High.Epoch > 0 {
				t.Errorf("beside the first tick it notes a mark that others are about to note: %+v", n.lived)
			}
			if high := b.coord.Standing().High; high.Seq != h.owner.Last() {
				t.Errorf("at the end the mark is %v, and the log ends at %d", high, h.owner.Last())
			}
		})
	}
}
