package jetstream

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

func readDeltas(t testing.TB, d *Deltas, from uint64) (all []persistence.Delta) {
	t.Helper()
	for delta, err := range d.Read(testContext(t), from) {
		if err != nil {
			t.Fatal(err)
		}
		delta.Body = bytes.Clone(delta.Body)
		all = append(all, delta)
	}
	return all
}

func TestDeltasComeBackWhole(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		if _, ok, err := s.deltas.Last(ctx); ok || err != nil {
			t.Fatal(ok, err)
		}
		want := []persistence.Delta{
			deltaOf(1, 10), deltaOf(2, 5<<20), deltaOf(3, 0),
			{Lineage: testLineage, Epoch: 1, RecordSeq: 9, Tick: 7, Gap: &persistence.Gap{FromTick: 4, ToTick: 7, Reason: "they were lost"}},
			deltaOf(8, 2000),
		}
		if err := s.deltas.Publish(ctx, want[:2]); err != nil {
			t.Fatal(err)
		}
		noise(t, s.log.conn, &s.deltas.lane)
		if err := s.deltas.Publish(ctx, want[2:]); err != nil {
			t.Fatal(err)
		}
		for _, from := range []uint64{0, 1, 2, 3, 5, 8, 9} {
			var due []persistence.Delta
			for _, d := range want {
				if d.Tick >= from {
					due = append(due, d)
				}
			}
			got := readDeltas(t, s.deltas, from)
			if len(got) != len(due) {
				t.Fatalf("from tick %d: %d deltas, not %d", from, len(got), len(due))
			}
			for i, d := range got {
				if d.Tick != due[i].Tick || !bytes.Equal(d.Body, due[i].Body) || (d.Gap == nil) != (due[i].Gap == nil) {
					t.Fatalf("from tick %d: delta %d is of tick %d with %d bytes", from, i, d.Tick, len(d.Body))
				}
			}
		}
		if last, ok, err := s.deltas.Last(ctx); !ok || err != nil || last.Tick != 8 || last.RecordSeq != 10 || last.Body != nil {
			t.Fatal(last, ok, err)
		}
	})
}

func TestDeltaStreamHasItsOwnFence(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
		old := createShardWith(t, c, o)
		if err := old.deltas.Publish(ctx, []persistence.Delta{deltaOf(1, 10)}); err != nil {
			t.Fatal(err)
		}
		noise(t, c, &old.deltas.lane)
		fresh := createShardWith(t, c, o)
		if _, _, err := fresh.deltas.Last(ctx); err != nil {
			t.Fatal(err)
		}
		mine := deltaOf(2, 10)
		mine.Epoch = 2
		if err := fresh.deltas.Publish(ctx, []persistence.Delta{mine}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := old.deltas.Publish(ctx, []persistence.Delta{deltaOf(2, 10)}); !errors.Is(err, persistence.ErrConflict) {
				t.Fatalf("a predecessor's delta: %v", err)
			}
		}
		if last, ok, err := old.deltas.Last(ctx); err != nil || !ok || last.Epoch != 2 {
			t.Fatal(last, ok, err)
		}
		if err := old.deltas.Publish(ctx, []persistence.Delta{deltaOf(3, 10)}); err != nil {
			t.Fatalf("Publish after Last: %v", err)
		}
	})
}

func TestDeltaStreamDropsItsOldest(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), Options{Shared: o.Shared, DeltaBytes: 256 << 10})
		for tick := uint64(1); tick <= 200; tick++ {
			if err := s.deltas.Publish(ctx, []persistence.Delta{deltaOf(tick, 4<<10)}); err != nil {
				t.Fatal(err)
			}
			noise(t, s.log.conn, &s.deltas.lane)
		}
		got := readDeltas(t, s.deltas, 0)
		if len(got) == 0 || len(got) >= 200 || got[len(got)-1].Tick != 200 || got[0].Tick != 201-uint64(len(got)) {
			t.Fatalf("%d deltas are left", len(got))
		}
		if mid := readDeltas(t, s.deltas, 180); len(mid) != 21 || mid[0].Tick != 180 {
			t.Fatalf("from tick 180: %d deltas", len(mid))
		}
	})
}

// TestDeltaPublishGoesOnAfterLostAnswers: every delta is stored exactly once, and a call never lasts longer than its
// context.
func TestDeltaPublishGoesOnAfterLostAnswers(t *testing.T) {
	server := startServer(t, ServerConfig{User: "node", Password: "secret"})
	s := site{addrs: []string{server.Addr()}, user: "node:secret@", replicas: 1}
	p := newProxy(t, server.Addr())
	shard, _ := owner(t, s, p.addr)
	batch := []persistence.Delta{deltaOf(1, 100), deltaOf(2, 100), deltaOf(3, 100)}
	if err := shard.deltas.Publish(testContext(t), batch[:1]); err != nil {
		t.Fatal(err)
	}
	p.hold(toClient, true)
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := shard.deltas.Publish(short, batch[1:]); !errors.Is(err, persistence.ErrAmbiguous) {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Fatalf("it lasted %v", d)
	}
	p.hold(toClient, false)
	if err := shard.deltas.Publish(testContext(t), batch[1:]); err != nil {
		t.Fatal(err)
	}
	got := readDeltas(t, shard.deltas, 0)
	if len(got) != 3 || got[0].Tick != 1 || got[1].Tick != 2 || got[2].Tick != 3 {
		t.Fatalf("%d deltas are stored", len(got))
	}
}

// TestDeltaPublishIsPacedWithoutAStream: if no stream listens, the server answers at once; Publish pauses before it
// tries again.
func TestDeltaPublishIsPacedWithoutAStream(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
	s := createShard(t, c)
	if _, _, err := s.deltas.Last(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.js.DeleteStream(testContext(t), s.deltas.name); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	short, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := s.deltas.Publish(short, []persistence.Delta{deltaOf(1, 100)}); !errors.Is(err, persistence.ErrAmbiguous) {
		t.Fatal(err)
	}
	most := int(time.Since(begin)/publishPause) + 1
	if n := int(s.deltas.fence.asked); n < 2 || n > most {
		t.Fatalf("it asked %d times in %s", n, time.Since(begin))
	}
}

// TestAQuietRoomGoesOnAfterItsDeltasAreDropped: a partition that is full drops the oldest messages, and they may be all of a
// room that was quiet.
func TestAQuietRoomGoesOnAfterItsDeltasAreDropped(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	quiet := createShardWith(t, c, Options{Shared: true})
	loud, err := Create(ctx, c, "dev", neighbours("main", 2)[1], testLineage, Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loud.Close)
	publish := func(s *Shard, from, to uint64, size int) {
		t.Helper()
		for tick := from; tick <= to; tick++ {
			if err := s.deltas.Publish(ctx, []persistence.Delta{deltaOf(tick, size)}); err != nil {
				t.Fatalf("%s, tick %d: %v", s.ref.Shard, tick, err)
			}
		}
	}
	publish(quiet, 1, 5, 100)
	config := quiet.deltas.stream.CachedInfo().Config
	config.MaxBytes = 128 << 10
	if _, err := c.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	publish(loud, 1, 100, 4<<10)
	if _, ok, err := quiet.deltas.last(ctx); ok || err != nil {
		t.Fatal("the quiet room has its deltas still", err)
	}
	publish(quiet, 6, 8, 100)
	if got := readDeltas(t, quiet.deltas, 0); len(got) != 3 || got[0].Tick != 6 || got[2].Tick != 8 {
		t.Errorf("%d deltas are left", len(got))
	}
	successor := createShardWith(t, c, Options{Shared: true})
	publish(successor, 9, 9, 100)
	if err := quiet.deltas.Publish(ctx, []persistence.Delta{deltaOf(9, 200)}); !errors.Is(err, persistence.ErrConflict) {
		t.Errorf("after its successor has published: %v", err)
	}
}

// TestAReaderChangesNoPartition: it may not, and the server would not even answer. A room that begins does, while its
// partition is nearly full.
func TestAReaderChangesNoPartition(t *testing.T) {
	ctx, server := testContext(t), startServer(t, ServerConfig{User: "node", Password: "secret"})
	c := connectTo(t, server)
	s := createShardWith(t, c, Options{Shared: true})
	w := appendTicks(t, s, 20)
	config := s.deltas.stream.CachedInfo().Config
	config.MaxBytes = 32 << 10
	if _, err := c.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	for tick := uint64(1); tick <= w.chain.Tick(); tick++ {
		if err := s.deltas.Publish(ctx, []persistence.Delta{deltaOf(tick, 4<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := Connect(ctx, ConnectConfig{URL: "nats://" + server.Addr(), ReadOnly: true, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	read, err := Open(ctx, reader, "dev", "main", testLineage, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(read.Close)
	if last, ok, err := read.deltas.Last(ctx); err != nil || !ok || last.Tick != w.chain.Tick() {
		t.Errorf("a reader finds tick %d, %v, %v", last.Tick, ok, err)
	}
	limit := func() int64 {
		i, err := s.deltas.stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return i.Config.MaxBytes
	}
	if now := limit(); now != config.MaxBytes {
		t.Errorf("a reader has changed the limit to %d", now)
	}
	other, err := Create(ctx, connectTo(t, server), "dev", neighbours("main", 2)[1], testLineage, Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	if err := other.deltas.Publish(ctx, []persistence.Delta{deltaOf(1, 10)}); err != nil {
		t.Fatal(err)
	}
	if now := limit(); now != 2*config.MaxBytes {
		t.Errorf("the partition may take %d bytes with another room", now)
	}
}
