package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// strangeLog is a log that at some moment gets a message, after the last record, that no node wrote.
type strangeLog struct {
	persistence.LogWriter
	kind    error           // the error of reading it
	strange persistence.Seq // its sequence; 0: not yet
	plant   bool
}

func (l *strangeLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if l.plant && l.strange == 0 {
		l.strange = expect + 1
	}
	if l.strange != 0 {
		return fmt.Errorf("%w: expected last sequence %d", persistence.ErrConflict, expect)
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func (l *strangeLog) Extent(ctx context.Context) (persistence.Extent, error) {
	e, err := l.LogWriter.Extent(ctx)
	e.Last = max(e.Last, l.strange)
	return e, err
}

func (l *strangeLog) Last(ctx context.Context) (persistence.Seq, error) {
	last, err := l.LogWriter.Last(ctx)
	return max(last, l.strange), err
}

func (l *strangeLog) Get(ctx context.Context, seq persistence.Seq) (persistence.Message, error) {
	if seq == l.strange && seq != 0 {
		return persistence.Message{}, l.kind
	}
	return l.LogWriter.Get(ctx, seq)
}

// TestOwnerEndsAtAMessageThatNoNodeWrote: the owner names the message's sequence and releases nothing of the waiting tick. A
// start on that log ends too, instead of asking forever.
func TestOwnerEndsAtAMessageThatNoNodeWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &strangeLog{LogWriter: b.store.Log(), kind: &persistence.CorruptError{What: "record", Reason: "it has no headers"}}
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = log })
		p.latch = func(tick uint64) { log.plant = log.plant || tick == 20 }
		err := b.run(h, 5*time.Second)
		if !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), fmt.Sprint("sequence ", log.strange)) {
			t.Errorf("the owner ends with %v", err)
		}
		if last := p.released[len(p.released)-1]; last != 19 {
			t.Errorf("the last tick that was released is %d", last)
		}
		b.coord.Edit(func(s *Standing) { s.Halted = "" }) // by an operator who has not looked
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Log = log })
		if err := b.run(h2, 5*time.Second); !errors.Is(err, ErrHalted) || p2.count() > 0 {
			t.Errorf("a start ends with %v after %d ticks", err, p2.count())
		}
	})
}

// TestOwnerIsFencedByANewerFormat: a newer build's record is not damage.
func TestOwnerIsFencedByANewerFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &strangeLog{LogWriter: b.store.Log(), kind: &persistence.VersionError{}}
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = log })
		p.latch = func(tick uint64) { log.plant = log.plant || tick == 20 }
		if err := b.run(h, 5*time.Second); !errors.Is(err, ErrFenced) || b.coord.Standing().Halted != "" {
			t.Errorf("the owner ends with %v, the shard is halted: %q", err, b.coord.Standing().Halted)
		}
	})
}
