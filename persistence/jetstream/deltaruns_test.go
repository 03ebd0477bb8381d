package jetstream

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// deltasOf returns the deltas of consecutive ticks.
func deltasOf(from, to uint64, size int) (all []persistence.Delta) {
	for tick := from; tick <= to; tick++ {
		all = append(all, deltaOf(tick, size))
	}
	return all
}

// headersOf returns the headers of a lane's messages, which must agree with their bodies.
func headersOf(t *testing.T, d *Deltas) (all []persistence.Header) {
	t.Helper()
	first, last, err := d.span(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range d.stored(testContext(t), first, last) {
		if err != nil {
			t.Fatal(err)
		}
		h, err := persistence.ParseHeader(m.header.Get)
		if err != nil {
			t.Fatal(err)
		}
		run, err := persistence.DecodeDeltas(m.body)
		if err != nil {
			t.Fatal(err)
		}
		if own := persistence.DeltasHeader(run); own != h {
			t.Errorf("message %d has the headers %+v, its body %+v", m.num, h, own)
		}
		all = append(all, h)
	}
	return all
}

// isRead demands that a reader that begins at a tick finds exactly the deltas from there on.
func isRead(t *testing.T, d *Deltas, from uint64, want []persistence.Delta) {
	t.Helper()
	for len(want) > 0 && want[0].Tick < from {
		want = want[1:]
	}
	got := readDeltas(t, d, from)
	if len(got) != len(want) {
		t.Fatalf("from tick %d: %d deltas, not %d", from, len(got), len(want))
	}
	for i := range got {
		if !sameDelta(&got[i], &want[i]) || !bytes.Equal(got[i].Body, want[i].Body) {
			t.Fatalf("from tick %d: delta %d is of tick %d with %d bytes, not of tick %d with %d", from, i, got[i].Tick, len(got[i].Body), want[i].Tick, len(want[i].Body))
		}
	}
}

// TestAPartitionHasManyDeltasInOneMessage: as many as fit, and beside them single ones, parts and gaps. A stream of its
// own has a message for each delta, or several. A reader begins at any tick.
func TestAPartitionHasManyDeltasInOneMessage(t *testing.T) {
	type message struct {
		kind        string
		first, last uint64
	}
	gap := persistence.Delta{Lineage: testLineage, Epoch: 1, RecordSeq: 9, Tick: 430, Gap: &persistence.Gap{FromTick: 424, ToTick: 430, Reason: "they were lost"}}
	calls := [][]persistence.Delta{
		deltasOf(1, 1, 20),
		deltasOf(2, 100, 20), // two groups, the second goes beyond 64 ticks
		slices.Concat(deltasOf(101, 110, 20), deltasOf(111, 111, 70<<10), deltasOf(112, 112, 5<<20), deltasOf(113, 120, 20)),
		deltasOf(121, 420, 20),
		slices.Concat(deltasOf(421, 423, 5000), []persistence.Delta{gap}, deltasOf(431, 445, 9000)),
	}
	want := map[bool][]message{
		true: {
			{"delta", 1, 1},
			{"deltas", 2, 100},
			{"deltas", 101, 110},
			{"delta", 111, 111},
			{"delta", 112, 112},
			{"deltas", 113, 120},
			{"deltas", 121, 376},
			{"deltas", 377, 420},
			{"deltas", 421, 423},
			{"gap", 424, 430},
			{"deltas", 431, 437}, // 64 KiB
			{"deltas", 438, 444},
			{"delta", 445, 445},
		},
	}
	all := slices.Concat(calls...)
	for i := range all {
		want[false] = append(want[false], message{all[i].Header().Kind, all[i].FirstTick(), all[i].Tick})
	}
	onLayouts(t, func(t *testing.T, o Options) {
		s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), o)
		for _, call := range calls {
			if err := s.deltas.Publish(testContext(t), call); err != nil {
				t.Fatal(err)
			}
			noise(t, s.log.conn, &s.deltas.lane)
		}
		var have []message
		for _, h := range headersOf(t, s.deltas) {
			if m := (message{h.Kind, h.FirstTick, h.LastTick}); len(have) == 0 || have[len(have)-1] != m { // parts of one
				have = append(have, m)
			}
		}
		if !slices.Equal(have, want[o.Shared]) {
			t.Errorf("the messages are %v", have)
		}
		for from := uint64(0); from < 448; from += 1 + from/20 {
			isRead(t, s.deltas, from, all)
		}
		for _, from := range []uint64{1, 2, 110, 111, 112, 113, 376, 377, 423, 424, 430, 431, 437, 438, 445, 446} {
			isRead(t, s.deltas, from, all)
		}
		last, ok, err := s.deltas.Last(testContext(t))
		if err != nil || !ok || last.Tick != 445 || last.Checksum != checksumOf(445) || last.Body != nil {
			t.Errorf("the last is %+v, %v", last, err)
		}
	})
}

// TestARunIsStoredOnceAfterLostAnswers: the call that was cut off is repeated, with deltas that have come meanwhile. The
// message without an answer is found, and so are those before it in the same call.
func TestARunIsStoredOnceAfterLostAnswers(t *testing.T) {
	server := startServer(t, ServerConfig{User: "node", Password: "secret"})
	for i, c := range []struct {
		name   string
		way    int
		before uint64 // ticks of the call whose message is stored and answered
	}{
		{"the answer is lost", toClient, 0},
		{"the answer to the second is lost", toClient, persistence.MaxRun},
		{"the message is late", toServer, 0},
		{"the second message is late", toServer, persistence.MaxRun},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProxy(t, server.Addr())
			conn := site{addrs: []string{server.Addr()}, user: "node:secret@", replicas: 1}.connect(t, p.addr)
			shard, err := Create(testContext(t), conn, "dev", neighbours("main", 4)[i], testLineage, Options{Shared: true, AckTimeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(shard.Close)
			all := deltasOf(1, 5+c.before+20+30, 30)
			d := shard.deltas
			if err := d.Publish(testContext(t), all[:5]); err != nil {
				t.Fatal(err)
			}
			call := all[5 : 5+c.before+20]
			if c.before > 0 { // the caller's time is over after the first message
				d.mu.Lock()
				_, err = d.publishRun(testContext(t), call)
				d.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
			}
			p.hold(c.way, true)
			ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
			defer cancel()
			if err := d.Publish(ctx, call); !errors.Is(err, persistence.ErrAmbiguous) {
				t.Fatal(err)
			}
			p.hold(c.way, false)
			if err := d.Publish(testContext(t), all[5:]); err != nil {
				t.Fatal(err)
			}
			if err := d.Publish(testContext(t), all[5:]); err != nil { // all of it is stored
				t.Fatal(err)
			}
			isRead(t, d, 0, all)
			if n := len(headersOf(t, d)); n != 3+int(min(c.before, 1)) {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestOtherDeltasAfterALostAnswerConflict: a run that may be stored is not published in other bytes. Its owner finds by
// reading that it is stored.
func TestOtherDeltasAfterALostAnswerConflict(t *testing.T) {
	server := startServer(t, ServerConfig{User: "node", Password: "secret"})
	s := site{addrs: []string{server.Addr()}, user: "node:secret@", replicas: 1, shared: true}
	p := newProxy(t, server.Addr())
	shard, _ := owner(t, s, p.addr)
	d, all := shard.deltas, deltasOf(1, 30, 100)
	if err := d.Publish(testContext(t), all[:5]); err != nil {
		t.Fatal(err)
	}
	p.hold(toClient, true)
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := d.Publish(short, all[5:20]); !errors.Is(err, persistence.ErrAmbiguous) {
		t.Fatal(err)
	}
	p.hold(toClient, false)
	for range 2 {
		if err := d.Publish(testContext(t), all[5:10]); !errors.Is(err, persistence.ErrConflict) {
			t.Fatalf("fewer deltas than may be stored: %v", err)
		}
	}
	last, ok, err := d.Last(testContext(t))
	if err != nil || !ok || last.Tick != 20 {
		t.Fatal(last, ok, err)
	}
	if err := d.Publish(testContext(t), all[20:]); err != nil {
		t.Fatal(err)
	}
	isRead(t, d, 0, all)
}

// TestASuccessorContinuesAfterARun: it learns how far the run goes, and its predecessor's next run is refused.
func TestASuccessorContinuesAfterARun(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	old, fresh := createShardWith(t, c, Options{Shared: true}), createShardWith(t, c, Options{Shared: true})
	all := deltasOf(1, 90, 50)
	if err := old.deltas.Publish(ctx, all[:40]); err != nil {
		t.Fatal(err)
	}
	last, ok, err := fresh.deltas.Last(ctx)
	if err != nil || !ok || last.Tick != 40 || last.RecordSeq != 42 || last.Checksum != checksumOf(40) {
		t.Fatal(last, ok, err)
	}
	if err := fresh.deltas.Publish(ctx, all[40:70]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := old.deltas.Publish(ctx, all[40:60]); !errors.Is(err, persistence.ErrConflict) {
			t.Fatalf("a predecessor's run: %v", err)
		}
	}
	if last, _, err = old.deltas.Last(ctx); err != nil || last.Tick != 70 {
		t.Fatal(last, err)
	}
	if err := old.deltas.Publish(ctx, all[70:]); err != nil {
		t.Fatal(err)
	}
	isRead(t, fresh.deltas, 0, all)
}

// TestRunsAreDroppedLikeSingleDeltas: a partition keeps the room's limit, its successor counts the same bytes, and readers
// skip what is left of a group.
func TestRunsAreDroppedLikeSingleDeltas(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	o := Options{Shared: true, DeltaBytes: 256 << 10}
	s := createShardWith(t, c, o)
	var all []persistence.Delta
	for tick := uint64(1); tick <= 960; tick += 16 {
		call := deltasOf(tick, tick+15, 1<<10)
		all = append(all, call...)
		if err := s.deltas.Publish(ctx, call); err != nil {
			t.Fatal(err)
		}
		noise(t, c, &s.deltas.lane)
		if used := s.deltas.tail.bytes - s.deltas.before; used > 256<<10*5/4 {
			t.Fatalf("after tick %d: %d bytes are stored", tick, used)
		}
	}
	got := readDeltas(t, s.deltas, 0)
	if len(got) < 100 || len(got) > 400 || len(got)%16 != 0 || got[len(got)-1].Tick != 960 {
		t.Fatalf("%d deltas are left", len(got))
	}
	isRead(t, s.deltas, 0, all[len(all)-len(got):])
	isRead(t, s.deltas, 950, all)
	successor := createShardWith(t, c, o)
	if _, _, err := successor.deltas.Last(ctx); err != nil {
		t.Fatal(err)
	}
	if err := successor.deltas.begin(ctx); err != nil {
		t.Fatal(err)
	}
	if a, b := s.deltas, successor.deltas; a.tail != b.tail || a.before != b.before {
		t.Errorf("the owner counts %+v after %d, its successor %+v after %d", a.tail, a.before, b.tail, b.before)
	}
}

// TestRunsGoOnAfterAllAreDropped: a partition that is full may drop all messages of a room that was quiet.
func TestRunsGoOnAfterAllAreDropped(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	s := createShardWith(t, c, Options{Shared: true})
	all := deltasOf(1, 60, 50)
	if err := s.deltas.Publish(ctx, all[:20]); err != nil {
		t.Fatal(err)
	}
	if err := s.deltas.lane.purge(ctx, 1<<40); err != nil {
		t.Fatal(err)
	}
	for _, call := range [][]persistence.Delta{all[20:40], all[40:]} {
		if err := s.deltas.Publish(ctx, call); err != nil {
			t.Fatal(err)
		}
	}
	isRead(t, s.deltas, 0, all[20:])
	isRead(t, s.deltas, 45, all)
}

// TestALostRunIsReportedAndReadingGoesOn: with the next group.
func TestALostRunIsReportedAndReadingGoesOn(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	s := createShardWith(t, c, Options{Shared: true})
	all := deltasOf(1, 60, 50)
	for i := 0; i < 60; i += 20 {
		if err := s.deltas.Publish(ctx, all[i:i+20]); err != nil {
			t.Fatal(err)
		}
	}
	m, _, err := s.deltas.get(ctx, 2, spot{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deltas.stream.DeleteMsg(ctx, m.seq); err != nil {
		t.Fatal(err)
	}
	var ticks []uint64
	var failed []error
	for d, err := range s.deltas.Read(ctx, 0) {
		if err != nil {
			failed = append(failed, err)
		} else {
			ticks = append(ticks, d.Tick)
		}
	}
	if len(failed) != 1 || !errors.Is(failed[0], persistence.ErrCorrupt) || len(ticks) != 40 || ticks[19] != 20 || ticks[20] != 41 {
		t.Errorf("ticks %v, %v", ticks, failed)
	}
}

// TestARunThatWasNeverSentIsNotBuiltOn: what follows it begins a group.
func TestARunThatWasNeverSentIsNotBuiltOn(t *testing.T) {
	s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), Options{Shared: true})
	all := deltasOf(1, 30, 50)
	if err := s.deltas.Publish(testContext(t), all[:5]); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := s.deltas.Publish(over, all[5:20]); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := s.deltas.Publish(testContext(t), all[20:]); err != nil {
		t.Fatal(err)
	}
	isRead(t, s.deltas, 0, slices.Concat(all[:5], all[20:]))
}

// TestTheFilesKnowHowFarARunGoes: they are evidence of what a log had.
func TestTheFilesKnowHowFarARunGoes(t *testing.T) {
	server := startServer(t, ServerConfig{Port: -1})
	c := connectTo(t, server)
	s := createShardWith(t, c, Options{Shared: true})
	for i, all := 0, deltasOf(1, 40, 50); i < 40; i += 20 {
		if err := s.deltas.Publish(testContext(t), all[i:i+20]); err != nil {
			t.Fatal(err)
		}
		noise(t, c, &s.deltas.lane)
	}
	s.Close()
	c.Close()
	server.Close()
	last := lastDeltas(server.Dir(), s.deltas.name, "main")[s.ref]
	if last == nil || last.Tick != 40 || last.RecordSeq != 42 || last.Checksum != checksumOf(40) || last.Body != nil {
		t.Errorf("the last delta is %+v", last)
	}
}

// TestWhatCannotBeTrimmedIsStoredOnce: the deltas are stored, only dropping the oldest ones failed.
func TestWhatCannotBeTrimmedIsStoredOnce(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	s := createShardWith(t, c, Options{Shared: true, DeltaBytes: 32 << 10})
	config := s.deltas.stream.CachedInfo().Config
	config.DenyPurge = true
	if _, err := c.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(deltasOf(1, 60, 1<<10), deltasOf(61, 61, 100<<10))
	if err := s.deltas.Publish(ctx, all[:20]); err != nil {
		t.Fatal(err)
	}
	for _, call := range [][]persistence.Delta{all[20:60], all[60:]} {
		if err := s.deltas.Publish(ctx, call); err == nil {
			t.Fatal("nothing had to be trimmed")
		}
		if err := s.deltas.Publish(ctx, call); err != nil {
			t.Fatal(err)
		}
	}
	isRead(t, s.deltas, 0, all)
	if n := len(headersOf(t, s.deltas)); n != 3 {
		t.Errorf("%d messages", n)
	}
}
