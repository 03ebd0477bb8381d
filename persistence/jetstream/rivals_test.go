package jetstream

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// TestRivalsOfALog has two owners of one log append different records with the same number, at once, again and again, while
// the owners of other logs of the same stream write theirs and, with three servers, the stream's leader steps down. One record
// gets each number, and both owners find the same one: the one whose Append returned nil, if any did.
func TestRivalsOfALog(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		onSites(t, func(t *testing.T, s site) {
			s.shared = o.Shared
			rivalsOfALog(t, s)
		})
	})
}

func rivalsOfALog(t *testing.T, s site) {
	const rounds = 60
	var over atomic.Bool
	var others sync.WaitGroup
	defer others.Wait()
	defer over.Store(true)
	_, first := owner(t, s, "")
	if s.shared {
		for _, name := range neighbours("main", 4)[1:] { // the first makes the noise
			others.Go(func() { commitUntil(t, s, name, over.Load) })
		}
	}
	rivals := []*Shard{}
	for range 2 {
		r, _ := owner(t, s, "")
		rivals = append(rivals, r)
	}
	for first.chain.Seq() < 2 {
		first.commit(t, rivals[0])
	}
	chain := first.chain
	won, unsure, nobody := 0, 0, 0
	for round := 0; int(chain.Seq()) < rounds; round++ {
		if round > 10*rounds {
			t.Fatalf("%d rounds stored %d records", round, chain.Seq())
		}
		if s.replicas > 1 && round%20 == 10 {
			stepDown(t, s, rivals[0].log.name)
		}
		messages, results := make([]persistence.Message, 2), make([]error, 2)
		var racing sync.WaitGroup
		for i, r := range rivals {
			frame := bytes.Repeat([]byte{byte(i)}, 100)
			rec := &persistence.Record{Kind: persistence.KindTicks, Epoch: chain.Epoch(), Ticks: []persistence.TickRecord{{Tick: chain.Tick() + 1, Frame: frame, Checksum: uint64(i + 1)}}}
			var err error
			if messages[i], err = chain.Link(rec, nil); err != nil {
				t.Fatal(err)
			}
			racing.Go(func() { results[i] = r.log.Append(testContext(t), messages[i], chain.Seq()) })
		}
		racing.Wait()
		var winner []byte
		for i, err := range results {
			switch {
			case err == nil && winner != nil:
				t.Fatalf("both owners wrote record %d", chain.Seq()+1)
			case err == nil:
				winner = messages[i].Body
				won++
			case errors.Is(err, persistence.ErrAmbiguous):
				unsure++
			case !errors.Is(err, persistence.ErrConflict):
				t.Fatal(err)
			}
		}
		found := make([]persistence.Message, 2)
		for i, r := range rivals {
			var err error
			if found[i], err = r.log.Get(testContext(t), chain.Seq()+1); err != nil && !errors.Is(err, persistence.ErrNotFound) {
				t.Fatal(err)
			}
		}
		switch {
		case winner != nil && (!bytes.Equal(found[0].Body, winner) || !bytes.Equal(found[1].Body, winner)):
			t.Fatalf("record %d is not the one that was acknowledged", chain.Seq()+1)
		case found[0].Body == nil && found[1].Body == nil:
			nobody++ // neither was stored, or one is in flight still: they try again
			continue
		case !bytes.Equal(found[0].Body, found[1].Body):
			continue // it was stored between the two looks
		}
		if _, err := chain.Next(found[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got := resume(t, rivals[0]); got.chain.Hash() != chain.Hash() {
		t.Errorf("the log ends with %v, its owners with %v", got.chain.Hash(), chain.Hash())
	}
	t.Logf("%d records: %d acknowledged, %d answers did not come, in %d rounds nobody won", chain.Seq(), won, unsure, nobody)
}

// commitUntil writes the log of another shard, and reads it back.
func commitUntil(t *testing.T, s site, name string, over func() bool) {
	ctx := testContext(t)
	shard, err := Create(ctx, s.connect(t, ""), "dev", name, testLineage, Options{Shared: s.shared, Replicas: s.replicas, LogBytes: 64 << 20, DeltaBytes: 64 << 20, SnapshotBytes: 64 << 20})
	if err != nil {
		t.Error(err)
		return
	}
	defer shard.Close()
	for w := newWriter(); !over(); {
		m, r, err := w.next()
		if err != nil {
			t.Error(err)
			return
		}
		for {
			if err = shard.log.Append(ctx, m, w.chain.Seq()); err == nil {
				break
			}
			got, readErr := shard.log.Get(ctx, w.chain.Seq()+1)
			if readErr == nil && bytes.Equal(got.Body, m.Body) {
				break
			}
			if readErr == nil || !errors.Is(readErr, persistence.ErrNotFound) || !errors.Is(err, persistence.ErrConflict) && !errors.Is(err, persistence.ErrAmbiguous) {
				t.Errorf("record %d of %s: %v, and then %v", w.chain.Seq()+1, name, err, readErr)
				return
			}
		}
		w.chain.Advance(r, persistence.HashOf(m.Body))
	}
}

// stepDown makes the leader of a stream step down and waits for another.
func stepDown(t *testing.T, s site, stream string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := s.connect(t, "")
	if _, err := c.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil); err != nil {
		t.Fatal(err)
	}
	for leaderOf(ctx, c, stream) == "" && ctx.Err() == nil {
	}
}
