package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// alarms is a log handler that keeps the alarms.
type alarms struct {
	slog.Handler
	mu   sync.Mutex
	told []string
}

func newAlarms(c *HostConfig) *alarms {
	a := &alarms{Handler: slog.DiscardHandler}
	c.Logger = slog.New(a)
	return a
}

func (a *alarms) Enabled(context.Context, slog.Level) bool { return true }
func (a *alarms) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *alarms) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(v slog.Attr) bool {
		if r.Message == "the shard raised an alarm" {
			a.mu.Lock()
			a.told = append(a.told, v.Value.String())
			a.mu.Unlock()
		}
		return true
	})
	return nil
}

func (a *alarms) count(part string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.told {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// damagedDeltas is a delta stream in which the first message of one tick cannot be decoded.
type damagedDeltas struct {
	persistence.DeltaWriter
	at    uint64
	stood int // messages of the stream when it was damaged
}

func (d damagedDeltas) bad(tick uint64, i int) error {
	if tick == d.at && i <= d.stood {
		return &persistence.CorruptError{What: "delta", Tick: tick, Reason: "flipped bits"}
	}
	return nil
}

func (d damagedDeltas) Last(ctx context.Context) (persistence.Delta, bool, error) {
	n := 0
	for _, err := range d.DeltaWriter.Read(ctx, 0) {
		if err != nil {
			return persistence.Delta{}, false, err
		}
		n++
	}
	last, ok, err := d.DeltaWriter.Last(ctx)
	if bad := d.bad(last.Tick, n); bad != nil {
		return persistence.Delta{}, false, bad
	}
	return last, ok, err
}

func (d damagedDeltas) Read(ctx context.Context, from uint64) iter.Seq2[persistence.Delta, error] {
	return func(yield func(persistence.Delta, error) bool) {
		i := 0
		for delta, err := range d.DeltaWriter.Read(ctx, 0) {
			i++
			if bad := d.bad(delta.Tick, i); bad != nil {
				delta, err = persistence.Delta{}, bad
			} else if delta.Tick < from {
				continue
			}
			if !yield(delta, err) {
				return
			}
		}
	}
}

func TestDamagedLastDeltaKeepsNoShardFromStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", nil)
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		last := h.Stats().Tick
		damaged := damagedDeltas{DeltaWriter: b.store.Deltas(), at: last, stood: int(last)}
		var told *alarms
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Deltas = damaged; told = newAlarms(c) })
		if err := b.run(h2, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		if p2.count() < 60 || p2.released[0] != last+1 || told.count("flipped bits") != 1 {
			t.Fatalf("%d ticks were made, told %q", p2.count(), told.told)
		}
		// The damaged tick was published again, and everything after it.
		var ticks []uint64
		for d, err := range damaged.Read(t.Context(), last-1) {
			if err == nil && d.Gap == nil {
				ticks = append(ticks, d.Tick)
			}
		}
		for i, tick := range ticks {
			if tick != last-1+uint64(i) {
				t.Fatalf("the delta stream holds ticks %v", ticks)
			}
		}
		if end := h2.Stats().Tick; len(ticks) == 0 || ticks[len(ticks)-1] != end {
			t.Errorf("the delta stream ends with %v, the shard with %d", ticks, end)
		}
	})
}

// ailing is all stores of a host, faulty until a time. Each kind of request in turn fails for a second, always with the same
// words.
type ailing struct {
	*Member
	mu    sync.Mutex
	since map[string]time.Time
}

func (a *ailing) ail(what string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since[what].IsZero() {
		a.since[what] = time.Now()
	}
	if time.Since(a.since[what]) < time.Second {
		return fmt.Errorf("%s is ailing", what)
	}
	return nil
}

func (a *ailing) Read(ctx context.Context) (s Standing, err error) {
	if err := a.ail("coordination"); err != nil {
		return s, err
	}
	return a.Member.Read(ctx)
}

func (a *ailing) Claim(ctx context.Context, b Bid) (bool, error) {
	if err := a.ail("claim"); err != nil {
		return false, err
	}
	return a.Member.Claim(ctx, b)
}

func (a *ailing) Note(ctx context.Context, n Note) error {
	if err := a.ail("note"); err != nil {
		return err
	}
	return a.Member.Note(ctx, n)
}

type ailingLog struct {
	persistence.LogWriter
	a *ailing
}

func (l ailingLog) Extent(ctx context.Context) (persistence.Extent, error) {
	if err := l.a.ail("log"); err != nil {
		return persistence.Extent{}, err
	}
	return l.LogWriter.Extent(ctx)
}

func (l ailingLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if err := l.a.ail("append"); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrAmbiguous, err)
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func (l ailingLog) Read(ctx context.Context, from, to persistence.Seq) iter.Seq2[persistence.Message, error] {
	if err := l.a.ail("reading"); err != nil {
		return func(yield func(persistence.Message, error) bool) { yield(persistence.Message{}, err) }
	}
	return l.LogWriter.Read(ctx, from, to)
}

type ailingDeltas struct {
	persistence.DeltaWriter
	a *ailing
}

func (d ailingDeltas) Last(ctx context.Context) (persistence.Delta, bool, error) {
	if err := d.a.ail("stream"); err != nil {
		return persistence.Delta{}, false, err
	}
	return d.DeltaWriter.Last(ctx)
}

func TestWhatKeepsAShardFromStartingIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", nil)
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		var told *alarms
		h2, p2, _ := b.host("b", func(c *HostConfig) {
			a := &ailing{Member: c.Ownership.(*Member), since: map[string]time.Time{}}
			c.Ownership, c.Log, c.Deltas = a, ailingLog{c.Log, a}, ailingDeltas{c.Deltas, a}
			told = newAlarms(c)
		})
		if err := b.run(h2, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		for _, cause := range []string{"coordination", "log", "claim", "stream", "reading", "append", "note"} {
			if n := told.count(cause + " is ailing"); n != 1 {
				t.Errorf("that the %s is ailing was told %d times", cause, n)
			}
		}
		if p2.count() < 30 {
			t.Errorf("%d ticks", p2.count())
		}
		if t.Failed() {
			t.Logf("%q", told.told)
		}
	})
}

// brokenWatch is an Ownership whose Await fails at once.
type brokenWatch struct {
	*Member
	asked int
}

func (w *brokenWatch) Await(context.Context, Standing) error {
	w.asked++
	return errors.New("the watch is broken")
}

func TestBrokenWatchIsPacedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", nil)
		done := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { done <- h.Run(ctx) }()
		time.Sleep(time.Second)
		var told *alarms
		var watch *brokenWatch
		h2, _, _ := b.host("b", func(c *HostConfig) {
			watch = &brokenWatch{Member: c.Ownership.(*Member)}
			c.Ownership, told = watch, newAlarms(c)
		})
		if err := b.run(h2, 2*time.Second); err != nil {
			t.Error(err)
		}
		if watch.asked < 5 || watch.asked > 20 || told.count("the watch is broken") != 1 {
			t.Errorf("asked %d times in 2 s, told %q", watch.asked, told.told)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// tightLog accepts only short records, and keeps the longer ones that were tried.
type tightLog struct {
	persistence.LogWriter
	limit int
	tried int
}

func (l *tightLog) MaxRecordBytes() int { return l.limit }

func (l *tightLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if len(m.Body) > l.limit {
		l.tried++
		return errors.New("the payload is too large")
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func TestRecordThatIsTooLargeEndsTheOwnerByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &tightLog{LogWriter: b.store.Log(), limit: 1 << 20}
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = log })
		p.latch = func(tick uint64) {
			if tick == 10 {
				log.limit = 100
			}
		}
		err := b.run(h, 3*time.Second)
		if !errors.Is(err, ErrTooLarge) || log.tried > 0 || len(p.released) != 9 {
			t.Fatalf("%v; tried %d times, released %v", err, log.tried, p.released)
		}
		for _, part := range []string{"record 12 (tick 10) has ", " bytes: ", "the log accepts at most 100 bytes"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in %q", part, err)
			}
		}
		log.limit = 1 << 20
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Log = log })
		if err := b.run(h2, time.Second); err != nil || p2.released[0] != 10 {
			t.Errorf("after it: %v, released %v", err, p2.released)
		}
		b.check(walk(0))
	})
}

// TestRecoveryByDeltasLeavesVoidOnesOut: for a tick simulated again after an accepted loss the stream has two deltas.
func TestRecoveryByDeltasLeavesVoidOnesOut(t *testing.T) {
	b := newTestbed(t)
	h, _, _ := b.host("a", nil)
	delta := func(tick uint64, epoch persistence.Epoch, seq persistence.Seq) persistence.Delta {
		return persistence.Delta{Lineage: testLineage, Epoch: epoch, RecordSeq: seq, Tick: tick, Checksum: tick * uint64(epoch), Body: []byte{1}}
	}
	void := delta(6, 2, 6)
	void.Body, void.Gap = nil, &persistence.Gap{FromTick: 5, ToTick: 6, Reason: persistence.VoidReason}
	if err := b.store.Deltas().Publish(t.Context(), []persistence.Delta{delta(4, 1, 6), delta(5, 1, 7), delta(6, 1, 8), void, delta(5, 2, 8), delta(6, 2, 9)}); err != nil {
		t.Fatal(err)
	}
	defer h.deltas.close()
	accepted := Standing{Accepted: []persistence.Mark{{Seq: 6, Epoch: 1}}}
	for tick, want := range []persistence.Epoch{4: 1, 5: 2, 6: 2} {
		if want == 0 {
			continue
		}
		d, err := h.delta(t.Context(), &Action{Kind: ActionDelta, Tick: uint64(tick), Standing: accepted})
		if err != nil || d == nil || d.Epoch != want {
			t.Errorf("tick %d: %+v, %v, want the delta of epoch %d", tick, d, err, want)
		}
	}
}
