package persistence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// The interfaces that Memory and File must implement.
var (
	_ LogWriter      = (*MemoryLog)(nil)
	_ DeltaWriter    = (*MemoryDeltas)(nil)
	_ SnapshotWriter = (*MemorySnapshots)(nil)
	_ LogReader      = (*FileLog)(nil)
	_ DeltaReader    = (*FileDeltas)(nil)
	_ SnapshotReader = (*FileSnapshots)(nil)
)

func TestOnlyOneOfManyWritersGetsEachSequence(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	const writers, each = 8, 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[Seq]int{}
	for w := range writers {
		wg.Go(func() {
			log := m.Log()
			for wins := 0; wins < each; {
				last, _ := log.Last(ctx)
				err := log.Append(ctx, Message{Body: []byte{byte(w)}}, last)
				if err == nil {
					wins++
					mu.Lock()
					won[last+1]++
					mu.Unlock()
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if last, _ := m.Log().Last(ctx); last != writers*each || len(won) != writers*each {
		t.Fatalf("last sequence %d, %d acknowledged", last, len(won))
	}
}

func TestAppendIsFencedInBothDirections(t *testing.T) {
	ctx := context.Background()
	log := NewMemory().Log()
	for seq := range Seq(3) {
		if err := log.Append(ctx, Message{}, seq); err != nil {
			t.Fatal(err)
		}
	}
	for _, expect := range []Seq{0, 2, 4} {
		if err := log.Append(ctx, Message{}, expect); !errors.Is(err, ErrConflict) {
			t.Errorf("expecting %d at 3: %v", expect, err)
		}
	}
}

func TestTheStoredMessageIsACopy(t *testing.T) {
	ctx := context.Background()
	log := NewMemory().Log()
	body := []byte("before")
	if err := log.Append(ctx, Message{Body: body}, 0); err != nil {
		t.Fatal(err)
	}
	copy(body, "after!")
	if m, err := log.Get(ctx, 1); err != nil || string(m.Body) != "before" || m.Seq != 1 {
		t.Error(m, err)
	}
}

func TestPurgeKeepsTheLastRecordAndTheSequences(t *testing.T) {
	ctx := context.Background()
	s := chronicle(t)
	log := s.m.Log()
	if err := log.Purge(ctx, 6); err != nil {
		t.Fatal(err)
	}
	if first, _ := log.First(ctx); first != 6 {
		t.Errorf("first is %d", first)
	}
	if _, err := log.Get(ctx, 5); !errors.Is(err, ErrNotFound) {
		t.Errorf("a purged record: %v", err)
	}
	if m, err := log.Get(ctx, 6); err != nil || m.Seq != 6 {
		t.Error(m.Seq, err)
	}
	for _, err := range log.Read(ctx, 5, 13) {
		if !errors.Is(err, ErrGap) {
			t.Errorf("reading from a purged record: %v", err)
		}
	}
	if err := log.Purge(ctx, 100); err != nil {
		t.Fatal(err)
	}
	first, _ := log.First(ctx)
	last, _ := log.Last(ctx)
	if first != 13 || last != 13 {
		t.Errorf("first %d, last %d", first, last)
	}
	if err := log.Append(ctx, Message{}, 13); err != nil {
		t.Error(err)
	}
}

func TestAFullLogRefusesAndIsNotFenced(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	m.MaxLogBytes = 1000
	var err error
	n := Seq(0)
	for ; err == nil; n++ {
		err = m.Log().Append(ctx, Message{Body: make([]byte, 100)}, n)
	}
	if !errors.Is(err, ErrFull) || errors.Is(err, ErrConflict) || n < 3 {
		t.Errorf("after %d: %v", n, err)
	}
}

func TestDeltasAreFencedPerHandle(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	zombie, owner := m.Deltas(), m.Deltas()
	if err := zombie.Publish(ctx, []Delta{wholeDelta(1, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := owner.Publish(ctx, []Delta{wholeDelta(2, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := zombie.Publish(ctx, []Delta{wholeDelta(2, 10)}); !errors.Is(err, ErrConflict) {
		t.Fatalf("published on top of another's: %v", err)
	}
	last, ok, err := zombie.Last(ctx)
	if err != nil || !ok || last.Tick != 2 || last.Body != nil {
		t.Fatal(last, ok, err)
	}
	if err := zombie.Publish(ctx, []Delta{wholeDelta(3, 10)}); err != nil {
		t.Errorf("after looking: %v", err)
	}
}

func TestDeltasAreSplitToThePayloadAndReadWhole(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	m.MaxPayloadBytes = 2048
	if err := m.Deltas().Publish(ctx, []Delta{wholeDelta(1, 10_000), wholeDelta(2, 5), wholeDelta(3, 4000)}); err != nil {
		t.Fatal(err)
	}
	if len(m.deltas) < 8 {
		t.Errorf("%d messages", len(m.deltas))
	}
	got := ""
	for d, err := range m.Deltas().Read(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		got += fmt.Sprint(d.Tick, " ", len(d.Body), " ", d.Parts, "; ")
	}
	if got != "1 10000 1; 2 5 1; 3 4000 1; " {
		t.Error(got)
	}
}

func TestTheOldestDeltasAreDropped(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	m.MaxDeltas = 3
	for tick := range uint64(10) {
		if err := m.Deltas().Publish(ctx, []Delta{wholeDelta(tick+1, 5)}); err != nil {
			t.Fatal(err)
		}
	}
	for d, err := range m.Deltas().Read(ctx, 1) {
		if d.Tick != 8 || err != nil {
			t.Errorf("first is %d (%v)", d.Tick, err)
		}
		break
	}
}

func TestSnapshotsAreListedNewestFirstAndComeBack(t *testing.T) {
	ctx := context.Background()
	s := chronicle(t)
	first := s.snapshot()
	s.ticks(2)
	second := s.snapshot()
	s.snapshot() // again: a name is stored once and never changes
	all, err := s.m.Snapshots().List(ctx)
	if err != nil || len(all) != 2 || all[0].Name != second.Name() || all[1].Name != first.Name() || all[0].Size == 0 {
		t.Fatal(all, err)
	}
	back, err := s.m.Snapshots().Get(ctx, all[1])
	if err != nil || back.Chain != first.Chain || string(back.Body) != string(first.Body) {
		t.Error(err)
	}
	if _, err := s.m.Snapshots().Get(ctx, SnapshotInfo{Name: "main/1-1-0000000000000000"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestSnapshotNamesComeBack(t *testing.T) {
	s := sampleSnapshot()
	if s.Name() != "main/3-812-0123456789abcdef" {
		t.Error(s.Name())
	}
	info, err := ParseSnapshotName(s.Name())
	if err != nil || info.Seq != 812 || info.Epoch != 3 || info.Checksum != 0x0123456789abcdef || info.Shard != "main" {
		t.Error(info, err)
	}
	for _, bad := range []string{"", "main", "main/3-812", "main/03-812-0123456789abcdef", "main/3-812-123", "Main/3-812-0123456789abcdef", "main/3-812-0123456789abcdef-1"} {
		if _, err := ParseSnapshotName(bad); err == nil {
			t.Errorf("%q is accepted as a name", bad)
		}
	}
}

func TestASnapshotOfAnotherRecordIsRefused(t *testing.T) {
	s := chronicle(t)
	snap := s.snapshot()
	m := s.m.at(13)
	r, err := DecodeRecord(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Verify(r, m.Body); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Snapshot){
		"sequence": func(s *Snapshot) { s.Seq-- },
		"hash":     func(s *Snapshot) { s.Chain[3]++ },
		"epoch":    func(s *Snapshot) { s.Epoch++ },
		"tick":     func(s *Snapshot) { s.Tick-- },
		"checksum": func(s *Snapshot) { s.Checksum++ },
	} {
		bad := snap
		spoil(&bad)
		if err := bad.Verify(r, m.Body); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
