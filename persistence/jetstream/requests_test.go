package jetstream

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

// requestsOf returns what counts the requests that a connection has sent to JetStream's API since the call.
func requestsOf(t *testing.T, s *Server, c *Conn) func() int {
	t.Helper()
	watcher, err := s.Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watcher.Close)
	asked, err := watcher.nc.SubscribeSync("$JS.API.>")
	if err == nil {
		err = watcher.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() int {
		t.Helper()
		for _, nc := range []*nats.Conn{c.nc, watcher.nc} { // in this order: the server has what was asked, the watcher what the server had
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		n, _, err := asked.Pending()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// TestANodeAsksLittleAboutARoomThatItTakesOver: a node that dies leaves hundreds of rooms to another, and each request costs the one
// that takes them a while in which nobody plays. A new owner needs few, however long the room's log is.
func TestANodeAsksLittleAboutARoomThatItTakesOver(t *testing.T) {
	ctx := testContext(t)
	s := startServer(t, ServerConfig{})
	o := Options{Shared: true}
	former := createShardWith(t, connectTo(t, s), o)
	w := appendTicks(t, former, 200)
	for tick := range uint64(20) {
		if err := former.deltas.Publish(ctx, []persistence.Delta{deltaOf(tick+1, 50)}); err != nil {
			t.Fatal(err)
		}
	}
	c := connectTo(t, s)
	count := requestsOf(t, s, c)
	open := func() *Shard {
		next, err := Open(ctx, c, "dev", "main", testLineage, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(next.Close)
		return next
	}
	next := open()
	costs := func(what string, most int, look func() error) {
		t.Helper()
		before := count()
		if err := look(); err != nil {
			t.Fatal(err)
		}
		if n := count() - before; n > most {
			t.Errorf("%s costs %d requests, at most %d are allowed", what, n, most)
		}
	}
	last := w.chain.Seq()
	costs("what the log holds", 2, func() error {
		e, err := next.log.Extent(ctx)
		if e.First != 1 || e.Last != last || e.Used == 0 {
			t.Errorf("the log holds %+v", e)
		}
		return err
	})
	costs("its last record", 0, func() error {
		m, err := next.log.Get(ctx, last)
		if m.Header.LastTick != uint64(last)-2 {
			t.Errorf("record %d is that of tick %d", last, m.Header.LastTick)
		}
		return err
	})
	costs("a record far from those", 8, func() error { _, err := next.log.Get(ctx, last/2); return err })
	costs("which build recorded it", 3, func() error {
		r, err := persistence.ReadRecorded(ctx, next.log, nil)
		if r.Epoch != 1 || r.Genesis == nil {
			t.Errorf("recorded: %+v", r)
		}
		return err
	})
	costs("the last delta", 1, func() error { _, _, err := next.deltas.Last(ctx); return err })
	w.commit(t, former)
	last++
	if e, err := next.log.Extent(ctx); err != nil || e.Last != last {
		t.Errorf("after one more record the log ends with %d, %v", e.Last, err)
	}
	if m, err := next.log.Get(ctx, last); err != nil || m.Header.LastTick != uint64(last)-2 {
		t.Errorf("the new last record is that of tick %d, %v", m.Header.LastTick, err)
	}
	m, r := epochOf(t, w, 2)
	costs("its first record", 0, func() error { return next.log.Append(ctx, m, last) })
	costs("what it holds then", 0, func() error { _, err := next.log.Extent(ctx); return err })
	w.chain.Advance(r, persistence.HashOf(m.Body))
	for range 200 {
		w.commit(t, next)
	}
	third := open()
	costs("which build recorded a log of two epochs", 30, func() error {
		r, err := persistence.ReadRecorded(ctx, third.log, nil)
		if r.Epoch != 2 || r.Genesis == nil {
			t.Errorf("recorded: %+v", r)
		}
		return err
	})
	if n := count(); n < 5 {
		t.Errorf("%d requests were seen in all: this test counts wrong", n)
	}
}

// TestAFullLogDoesNotAskForEachAttempt: its owner sends its record again and again until there is room.
func TestAFullLogDoesNotAskForEachAttempt(t *testing.T) {
	ctx, s := testContext(t), startServer(t, ServerConfig{})
	c := connectTo(t, s)
	count := requestsOf(t, s, c)
	l := createShardWith(t, c, Options{Shared: true, LogBytes: 20 << 10})
	w := appendTicks(t, l, 1)
	w.size = 4 << 10
	var m persistence.Message
	var err error
	for err == nil {
		var r *persistence.Record
		if m, r, err = w.next(); err == nil {
			if err = l.log.Append(ctx, m, w.chain.Seq()); err == nil {
				w.chain.Advance(r, persistence.HashOf(m.Body))
			}
		}
	}
	before, began := count(), time.Now()
	for range 50 {
		if err := l.log.Append(ctx, m, w.chain.Seq()); !errors.Is(err, persistence.ErrFull) {
			t.Fatal(err)
		}
	}
	if n, most := count()-before, 1+int(time.Since(began)/time.Second); n > most {
		t.Errorf("50 attempts within %v cost %d requests, at most %d are allowed", time.Since(began), n, most)
	}
	if err := l.log.Purge(ctx, w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	if err := l.log.Append(ctx, m, w.chain.Seq()); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

// TestAPlaceMayOutliveItsMessage: what a handle remembers of records that are purged, or of a number that now is elsewhere, leads it to
// no wrong record.
func TestAPlaceMayOutliveItsMessage(t *testing.T) {
	ctx := testContext(t)
	s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{})), Options{Shared: true})
	appendTicks(t, s, 40)
	for seq := persistence.Seq(1); seq <= 9; seq++ {
		if _, err := s.log.Get(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.log.Purge(ctx, 8); err != nil {
		t.Fatal(err)
	}
	s.log.places.saw(spot{num: 20, seq: 3}) // as if the stream had been another one
	s.log.places.saw(spot{num: 30, seq: 9})
	for seq := persistence.Seq(1); seq <= 42; seq++ {
		switch m, err := s.log.Get(ctx, seq); {
		case seq < 8 && !errors.Is(err, persistence.ErrNotFound):
			t.Errorf("record %d is purged: %v", seq, err)
		case seq >= 8 && (err != nil || m.Seq != seq):
			t.Errorf("record %d: %d, %v", seq, m.Seq, err)
		}
	}
}
