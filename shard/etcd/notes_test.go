package etcd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
)

// TestManyRoomsNoteTheirMarksTogether: 250 marks take a handful of transactions, a mark never goes back, and a room of which a later
// owner has noted more is refused alone.
func TestManyRoomsNoteTheirMarksTogether(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	const rooms = 250
	var all []*Shard
	for i := range rooms {
		s, err := n.Shard(fmt.Sprint("r-", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: 1, Epoch: 1}}); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	note := func(seq persistence.Seq) (errs []error) {
		t.Helper()
		errs = make([]error, rooms)
		answers := make(chan struct{}, rooms)
		for i, s := range all {
			s.NoteSoon(persistence.Mark{Seq: seq, Epoch: 1}, func(err error) { errs[i] = err; answers <- struct{}{} })
		}
		for range rooms {
			select {
			case <-answers:
			case <-time.After(time.Minute):
				t.Fatal("a note has no answer after a minute")
			}
		}
		return errs
	}
	revision := func() int64 { return read(t, all[0]).Revision }
	before := revision()
	if err := errors.Join(note(7)...); err != nil {
		t.Fatal(err)
	}
	if took := revision() - before; took > 5 {
		t.Errorf("%d marks are %d revisions", rooms, took)
	}
	for _, s := range all {
		if high := read(t, s).High; high != (persistence.Mark{Seq: 7, Epoch: 1}) {
			t.Fatalf("shard %s has the mark %v", s.name, high)
		}
	}

	// Another process has noted more of one room, with a later epoch, and of another with the same.
	other, _ := member(t, c, "b", 5*time.Second)
	for i, m := range map[int]persistence.Mark{3: {Seq: 5, Epoch: 2}, 4: {Seq: 100, Epoch: 1}} {
		s, err := other.Shard(all[i].name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Note(t.Context(), shard.Note{High: m}); err != nil {
			t.Fatal(err)
		}
	}
	for i, err := range note(9) {
		want := persistence.Mark{Seq: 9, Epoch: 1}
		switch i {
		case 3:
			want = persistence.Mark{Seq: 5, Epoch: 2}
		case 4:
			want = persistence.Mark{Seq: 100, Epoch: 1}
		}
		if high := read(t, all[i]).High; high != want || errors.Is(err, shard.ErrFenced) != (i == 3) || err != nil && i != 3 {
			t.Errorf("room %d has the mark %v, want %v; %v", i, high, want, err)
		}
	}
}
