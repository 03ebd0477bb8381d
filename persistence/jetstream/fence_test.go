package jetstream

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// owner opens the shard as a node does, with its own connection and its own view of the log.
func owner(t *testing.T, s site, through string) (*Shard, *writer) {
	t.Helper()
	c := s.connect(t, through)
	shard := createShardWith(t, c, Options{Shared: s.shared, Replicas: s.replicas, LogBytes: 64 << 20, DeltaBytes: 64 << 20, SnapshotBytes: 64 << 20, AckTimeout: 700 * time.Millisecond})
	return shard, resume(t, shard)
}

// epochOf seals the record that fences for a new epoch.
func epochOf(t *testing.T, w *writer, epoch persistence.Epoch) (persistence.Message, *persistence.Record) {
	t.Helper()
	r := &persistence.Record{Kind: persistence.KindEpoch, Epoch: epoch, EpochStart: &persistence.EpochStart{Node: "other", From: w.chain.Tick()}}
	m, err := w.chain.Link(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

func TestFence(t *testing.T) {
	onLayouts(t, func(t *testing.T, o Options) {
		onSites(t, func(t *testing.T, s site) {
			s.shared = o.Shared
			t.Run("a stale owner is refused", func(t *testing.T) { staleOwnerIsRefused(t, s) })
			t.Run("an answer that is lost is ambiguous", func(t *testing.T) { lostAnswerIsAmbiguous(t, s) })
			t.Run("a zombie's delayed record stays out", func(t *testing.T) { zombieStaysOut(t, s) })
			t.Run("nothing follows a seal", func(t *testing.T) { nothingFollowsASeal(t, s) })
		})
	})
}

func staleOwnerIsRefused(t *testing.T, s site) {
	ctx := testContext(t)
	old, _ := owner(t, s, "")
	oldWriter := appendTicks(t, old, 3)
	fresh, freshWriter := owner(t, s, "")
	m, r := epochOf(t, freshWriter, freshWriter.chain.Epoch()+1)
	if err := fresh.log.Append(ctx, m, freshWriter.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	freshWriter.chain.Advance(r, persistence.HashOf(m.Body))
	late, _, err := oldWriter.next()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := old.log.Append(ctx, late, oldWriter.chain.Seq()); !errors.Is(err, persistence.ErrConflict) {
			t.Fatalf("a stale owner's append: %v", err)
		}
	}
	if err := old.log.Append(ctx, persistence.Message{Header: late.Header, Body: late.Body}, oldWriter.chain.Seq()+5); !errors.Is(err, persistence.ErrConflict) {
		t.Fatalf("an append far ahead: %v", err)
	}
	freshWriter.commit(t, fresh)
	if last := lastOf(t, old); last != freshWriter.chain.Seq() {
		t.Fatalf("the log is at %d, the owner at %d", last, freshWriter.chain.Seq())
	}
	resume(t, fresh) // reads and proves everything
}

func lostAnswerIsAmbiguous(t *testing.T, s site) {
	ctx := testContext(t)
	p := newProxy(t, s.addrs[len(s.addrs)-1])
	shard, _ := owner(t, s, p.addr)
	w := appendTicks(t, shard, 1)
	m, r, err := w.next()
	if err != nil {
		t.Fatal(err)
	}
	p.hold(toClient, true)
	err = shard.log.Append(ctx, m, w.chain.Seq())
	if !errors.Is(err, persistence.ErrAmbiguous) || errors.Is(err, persistence.ErrConflict) {
		t.Fatalf("an append without an answer: %v", err)
	}
	p.hold(toClient, false)
	// The owner's procedure: send the identical bytes again and, if they are refused, read the log.
	if err := shard.log.Append(ctx, m, w.chain.Seq()); !errors.Is(err, persistence.ErrConflict) {
		t.Fatalf("the same append again: %v", err)
	}
	got, err := shard.log.Get(ctx, w.chain.Seq()+1)
	if err != nil || !bytes.Equal(got.Body, m.Body) || got.Header != m.Header {
		t.Fatalf("it was stored, but reads as %v, %v", got.Header, err)
	}
	if _, err := shard.log.Get(ctx, w.chain.Seq()+2); !errors.Is(err, persistence.ErrNotFound) {
		t.Fatalf("it was stored twice: %v", err)
	}
	w.chain.Advance(r, persistence.HashOf(m.Body))
	if m, _, err = w.next(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	p.hold(toClient, true)
	if err := shard.log.Append(short, m, w.chain.Seq()); !errors.Is(err, persistence.ErrAmbiguous) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an append whose context ends: %v", err)
	}
	p.hold(toClient, false)
	if err := shard.log.Append(short, m, w.chain.Seq()); err == nil || errors.Is(err, persistence.ErrAmbiguous) {
		t.Fatalf("an append whose context has ended sends nothing, but: %v", err)
	}
}

func zombieStaysOut(t *testing.T, s site) {
	ctx := testContext(t)
	direct, w := owner(t, s, "")
	p := newProxy(t, s.addrs[0])
	zombie, _ := owner(t, s, p.addr)
	zw := resume(t, zombie)
	late, _, err := zw.next()
	if err != nil {
		t.Fatal(err)
	}
	p.hold(toServer, true)
	if err := zombie.log.Append(ctx, late, zw.chain.Seq()); !errors.Is(err, persistence.ErrAmbiguous) {
		t.Fatalf("a paused owner's append: %v", err)
	}
	m, r := epochOf(t, w, w.chain.Epoch()+1)
	if err := direct.log.Append(ctx, m, w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	w.chain.Advance(r, persistence.HashOf(m.Body))
	w.commit(t, direct)
	p.hold(toServer, false) // now the zombie's record arrives
	if err := zombie.log.Append(ctx, late, zw.chain.Seq()); !errors.Is(err, persistence.ErrConflict) {
		t.Fatalf("the zombie's second try: %v", err)
	}
	w.commit(t, direct)
	if got := resume(t, direct); got.chain.Hash() != w.chain.Hash() {
		t.Fatalf("the log ends with %v, the owner with %v", got.chain.Hash(), w.chain.Hash())
	}
}

// sealOf links the record that ends a room.
func sealOf(t *testing.T, w *writer) persistence.Message {
	t.Helper()
	m, err := w.chain.Link(&persistence.Record{Kind: persistence.KindSeal, Epoch: w.chain.Epoch(), Seal: &persistence.Seal{Node: "n1", Tick: w.chain.Tick(), Reason: persistence.EndClosed}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// nothingFollowsASeal: in a partition, the server itself refuses a former owner's late record, a second seal, another
// node's claim and a record that counts the seal, whether or not its writer knows of it.
func nothingFollowsASeal(t *testing.T, s site) {
	if !s.shared {
		t.Skip("in a stream of its own, the reader's rule refuses what follows")
	}
	ctx := testContext(t)
	ended, _ := owner(t, s, "")
	w := appendTicks(t, ended, 2)
	late, _, err := w.next()
	if err != nil {
		t.Fatal(err)
	}
	claim, _ := epochOf(t, w, w.chain.Epoch()+1)
	seal := sealOf(t, w)
	former, _ := owner(t, s, "")
	if err := former.log.share.learn(ctx); err != nil { // it knows the log as it is now
		t.Fatal(err)
	}
	if err := ended.log.Append(ctx, seal, w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	if last := lastOf(t, ended); last != w.chain.Seq()+1 {
		t.Fatalf("the log ends with record %d, not with the seal %d", last, w.chain.Seq()+1)
	}
	for what, m := range map[string]persistence.Message{"a late record": late, "a claim": claim, "a second seal": seal} {
		fresh, _ := owner(t, s, "")
		for who, o := range map[string]*Shard{"the former owner": former, "the owner": ended, "another node": fresh} {
			m.Seq = 0
			for expect := w.chain.Seq(); expect <= w.chain.Seq()+1; expect++ {
				if err := o.log.Append(ctx, m, expect); !errors.Is(err, persistence.ErrConflict) {
					t.Errorf("%s of %s, expecting record %d: %v", what, who, expect, err)
				}
			}
		}
	}
	if last := lastOf(t, ended); last != w.chain.Seq()+1 {
		t.Errorf("the log goes on to record %d", last)
	}
	got, err := ended.log.Get(ctx, w.chain.Seq()+1)
	if err != nil || !bytes.Equal(got.Body, seal.Body) {
		t.Errorf("the seal reads as %v, %v", got.Header, err)
	}
}
