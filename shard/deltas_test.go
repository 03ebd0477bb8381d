package shard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// stuckDeltas is a delta stream that does not answer.
type stuckDeltas struct {
	persistence.DeltaWriter
	stuck bool
}

func (d *stuckDeltas) Publish(ctx context.Context, ds []persistence.Delta) error {
	if !d.stuck {
		return d.DeltaWriter.Publish(ctx, ds)
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestStuckDeltaStreamStallsNothingAndTheSuccessorPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", func(c *HostConfig) {
			c.Deltas = &stuckDeltas{c.Deltas, true}
			c.SnapshotEvery = 20
		})
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(p.released) < 60 || h.Stats().DeltasWaiting != len(p.released) {
			t.Errorf("%d ticks released, %d deltas wait", len(p.released), h.Stats().DeltasWaiting)
		}
		h2, _, _ := b.host("b", nil)
		if err := b.run(h2, time.Second); err != nil {
			t.Fatal(err)
		}
		d, ok, err := b.store.Deltas().Last(t.Context())
		if err != nil || !ok || d.Tick != h2.Stats().Tick {
			t.Errorf("the delta stream ends at tick %d, the shard is at %d: %v", d.Tick, h2.Stats().Tick, err)
		}
		if report := b.check(walk(0)); report.Gaps > 0 || uint64(report.Deltas) != uint64(report.Ticks) {
			t.Errorf("the successor could have rebuilt all: %+v", report)
		}
	})
}

// slowDeltas is a remote delta stream: published deltas arrive late, whatever happens meanwhile.
type slowDeltas struct{ persistence.DeltaWriter }

func (d slowDeltas) Publish(ctx context.Context, ds []persistence.Delta) error {
	time.Sleep(400 * time.Millisecond)
	return d.DeltaWriter.Publish(context.WithoutCancel(ctx), ds)
}

func TestDeltasThatTwoOwnersPublishComeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		slow := func(c *HostConfig) { c.Deltas = slowDeltas{c.Deltas} }
		h, _, _ := b.host("a", slow)
		h2, _, _ := b.host("b", slow)
		done := make(chan error, 1)
		go func() { done <- h.Run(t.Context()) }()
		time.Sleep(1100 * time.Millisecond)
		b.coord.Edit(func(s *Standing) { s.Owner, s.OwnerLease = "", 0 })
		if err := b.run(h2, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, ErrFenced) {
			t.Errorf("the old owner: %v", err)
		}
		h3, _, _ := b.host("c", nil)
		if err := b.run(h3, time.Second); err != nil {
			t.Fatal(err)
		}
		if report := b.check(walk(0)); report.Gaps > 0 || uint64(report.Deltas) != uint64(report.Ticks) || len(report.Findings) > 0 {
			t.Errorf("%+v", report)
		}
	})
}
