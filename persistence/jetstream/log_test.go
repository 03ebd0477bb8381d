package jetstream

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// The interfaces of package persistence.
var (
	_ persistence.LogWriter      = (*Log)(nil)
	_ persistence.DeltaWriter    = (*Deltas)(nil)
	_ persistence.SnapshotWriter = (*Snapshots)(nil)
)

func TestLogGivesBackWhatWasAppended(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		if last, err := s.log.Last(ctx); last != 0 || err != nil {
			t.Fatal(last, err)
		}
		w := newWriter()
		var all []persistence.Message
		for range 50 {
			all = append(all, w.commit(t, s))
		}
		i := 0
		for m, err := range s.log.Read(ctx, 1, 50) {
			if err != nil || m.Seq != all[i].Seq || m.Header != all[i].Header || !bytes.Equal(m.Body, all[i].Body) {
				t.Fatalf("record %d reads as %v, %v", i+1, m.Header, err)
			}
			i++
		}
		if i != 50 {
			t.Fatalf("%d records of 50", i)
		}
		for m, err := range s.log.Read(ctx, 5, 50) {
			if err != nil || m.Seq != 5 {
				t.Fatal(m.Seq, err)
			}
			break // must not hang or panic
		}
		m, err := s.log.Get(ctx, 17)
		if err != nil || m.Header != all[16].Header || !bytes.Equal(m.Body, all[16].Body) {
			t.Fatal(m.Header, err)
		}
		if _, err := s.log.Get(ctx, 51); !errors.Is(err, persistence.ErrNotFound) {
			t.Fatal(err)
		}
		if err := s.log.Append(ctx, all[3], 50); err == nil {
			t.Fatal("record 4 was stored as record 51")
		}
	})
}

func TestReadNamesWhatIsMissing(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		w := appendTicks(t, s, 8) // records 1 to 10
		gapAt := func(from, to persistence.Seq, want persistence.Seq, good int) {
			t.Helper()
			n := 0
			for m, err := range s.log.Read(ctx, from, to) {
				var corrupt *persistence.CorruptError
				if err == nil {
					n++
					continue
				}
				if !errors.Is(err, persistence.ErrGap) || !errors.As(err, &corrupt) || corrupt.Seq != want || n != good {
					t.Fatalf("after %d records (%v): %v", n, m.Seq, err)
				}
				return
			}
			t.Fatalf("%d records and no gap", n)
		}
		gapAt(5, 12, 11, 6)
		gapAt(11, 12, 11, 0)
		if err := s.log.Purge(ctx, 4); err != nil {
			t.Fatal(err)
		}
		gapAt(3, 10, 3, 0)
		if first, err := s.log.First(ctx); first != 4 || err != nil {
			t.Fatal(first, err)
		}
		if err := s.log.Purge(ctx, 500); err != nil {
			t.Fatal(err)
		}
		if first, err := s.log.First(ctx); first != 10 || err != nil {
			t.Fatalf("a purge of everything left %d, %v; the last record must stay", first, err)
		}
		w.commit(t, s)
	})
}

func TestFullLogIsNotFencing(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), Options{Shared: o.Shared, LogBytes: 64 << 10})
		w := newWriter()
		w.size = 8 << 10
		for {
			m, r, err := w.next()
			if err != nil {
				t.Fatal(err)
			}
			err = s.log.Append(ctx, m, w.chain.Seq())
			if err == nil {
				w.chain.Advance(r, persistence.HashOf(m.Body))
				continue
			}
			if !errors.Is(err, persistence.ErrFull) || errors.Is(err, persistence.ErrConflict) {
				t.Fatal(err)
			}
			break
		}
		if first, _ := s.log.First(ctx); first != 1 || lastOf(t, s) != w.chain.Seq() {
			t.Fatalf("a full log holds %d to %d, not 1 to %d", first, lastOf(t, s), w.chain.Seq())
		}
		if err := s.log.Purge(ctx, w.chain.Seq()); err != nil {
			t.Fatal(err)
		}
		w.commit(t, s)
	})
}

func TestOversizedRecordIsRefusedAtOnce(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		m := persistence.Message{Header: persistence.Header{Kind: "ticks"}, Body: make([]byte, s.log.MaxRecordBytes()+messageOverhead)}
		err := s.log.Append(testContext(t), m, 0)
		if err == nil || errors.Is(err, persistence.ErrAmbiguous) || errors.Is(err, persistence.ErrFull) {
			t.Fatal(err)
		}
		m.Body = m.Body[:s.log.MaxRecordBytes()]
		if err := s.log.Append(testContext(t), m, 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOtherLineageIsRefused(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx := testContext(t)
		c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
		appendTicks(t, createShardWith(t, c, o), 1)
		other := strings.Replace(testLineage, "1", "2", 1)
		if _, err := Open(ctx, c, "dev", "main", other, Options{}); err == nil || !strings.Contains(err.Error(), other) || !strings.Contains(err.Error(), testLineage) {
			t.Fatal(err)
		}
		if _, err := Create(ctx, c, "dev", "main", other, Options{}); err == nil {
			t.Fatal("a second shard was made over the first")
		}
		if _, err := Open(ctx, c, "dev", "nobody", "", Options{}); !errors.Is(err, persistence.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := Open(ctx, c, "dev", "No_body", "", Options{}); err == nil || errors.Is(err, persistence.ErrNotFound) {
			t.Fatal(err)
		}
		s, err := Open(ctx, c, "dev", "main", "", Options{})
		if err != nil || s.Ref().Lineage != testLineage {
			t.Fatal(err)
		}
		s.Close()
		refs, err := Streams(ctx, c, "dev")
		if o.Shared { // the noise
			refs = slices.DeleteFunc(refs, func(r Ref) bool { return r.Shard == neighbours("main", 1)[0] })
		}
		if err != nil || len(refs) != 1 || refs[0] != (Ref{"dev", "main", testLineage}) {
			t.Fatal(refs, err)
		}
	})
}

func TestLogStreamHasTheSettingsThatMatter(t *testing.T) {
	ctx := testContext(t)
	c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
	s := createShard(t, c)
	got := s.log.stream.CachedInfo().Config
	if got.Storage != jetstream.FileStorage || got.Discard != jetstream.DiscardNew || !got.DenyDelete || got.MaxAge != 0 || got.AllowDirect || got.MaxBytes <= 0 {
		t.Fatalf("%+v", got)
	}
	if err := s.log.stream.DeleteMsg(ctx, 1); err == nil {
		t.Fatal("a record can be deleted")
	}
	got.Discard = jetstream.DiscardOld
	if _, err := c.js.UpdateStream(ctx, got); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, c, "dev", "main", "", Options{}); err == nil {
		t.Fatal("a log that drops its oldest was opened")
	}
}

func TestFollowWaitsForWhatComes(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		w := appendTicks(t, s, 3)
		seen := make(chan persistence.Seq, 100)
		done := make(chan error, 1)
		go func() {
			for m, err := range s.log.Follow(ctx, 2) {
				if err != nil {
					done <- err
					return
				}
				seen <- m.Seq
			}
			done <- nil
		}()
		for want := persistence.Seq(2); want <= 9; want++ {
			if want > 5 {
				w.commit(t, s)
			}
			if want == 8 {
				time.Sleep(patience + 200*time.Millisecond) // longer than a reader waits before it asks
			}
			select {
			case got := <-seen:
				if got != want {
					t.Fatalf("record %d came for %d", got, want)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("record %d does not come", want)
			}
		}
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a reader does not stop")
		}
	})
}

// TestMessageOverheadIsWhatTheFilesHold compares MessageOverhead with the rows on the disk.
func TestMessageOverheadIsWhatTheFilesHold(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		server := startServer(t, ServerConfig{Port: -1})
		s := createShardWith(t, connectTo(t, server), o)
		w := newWriter()
		var stated, held int
		for range 20 {
			m := w.commit(t, s)
			stated += len(m.Body) + m.Header.Size() + s.log.MessageOverhead()
		}
		for _, r := range rowsOf(t, server.Dir(), s.log.name) {
			b, err := os.ReadFile(r.file)
			if err != nil {
				t.Fatal(err)
			}
			if parseRow(b[r.at:r.end], r.seq).subject == s.log.subject {
				held += r.end - r.at
			}
		}
		// The fence's number is assumed to have seven digits, but has one or two in this log.
		numbers := 1
		if o.Shared {
			numbers = 3
		}
		if over := stated - held; over < 0 || over > numbers*20*6 {
			t.Fatalf("%d bytes are held, %d stated", held, stated)
		}
	})
}
