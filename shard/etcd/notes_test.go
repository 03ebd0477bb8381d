package etcd

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
)

// TestManyRoomsNoteTheirMarksTogether: 250 marks take a handful of transactions, a mark never goes back, and a room whose
// later owner has noted more is refused alone.
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

// TestAMarkThatWaitsForOthersNeverGoesBack: while it waits, the shard notes a later one by itself, as a room does at its end, or as
// its next host does with the next epoch.
func TestAMarkThatWaitsForOthersNeverGoesBack(t *testing.T) {
	c := cluster(t)
	_, s := member(t, c, "a", 5*time.Second)
	if err := s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: 1, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct{ waits, noted persistence.Mark }{
		{persistence.Mark{Seq: 7, Epoch: 1}, persistence.Mark{Seq: 9, Epoch: 1}},
		{persistence.Mark{Seq: 12, Epoch: 1}, persistence.Mark{Seq: 10, Epoch: 2}},
	} {
		answer := make(chan error, 1)
		s.NoteSoon(m.waits, func(err error) { answer <- err })
		if err := s.Note(t.Context(), shard.Note{High: m.noted}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-answer:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the note has no answer after a minute")
		}
		if high := read(t, s).High; high != m.noted {
			t.Errorf("%v was noted, then %v, which had waited longer: the mark is %v", m.noted, m.waits, high)
		}
	}
}

// TestTwoMarksOfOneShardDoNotMeet: a host has ended, and the next one notes its first mark before that of the former was written. etcd
// refuses a transaction that writes a key twice.
func TestTwoMarksOfOneShardDoNotMeet(t *testing.T) {
	c := cluster(t)
	n, s := member(t, c, "a", 5*time.Second)
	next, err := n.Shard("main")
	if err != nil {
		t.Fatal(err)
	}
	other, err := n.Shard("other")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		*Shard
		epoch persistence.Epoch
	}{{s, 1}, {other, 1}, {next, 2}} {
		if err := x.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: 1, Epoch: x.epoch}}); err != nil {
			t.Fatal(err)
		}
	}
	answers := make(chan error, 3)
	for x, m := range map[*Shard]persistence.Mark{s: {Seq: 7, Epoch: 1}, other: {Seq: 8, Epoch: 1}, next: {Seq: 9, Epoch: 2}} {
		x.NoteSoon(m, func(err error) {
			if errors.Is(err, shard.ErrFenced) && x == s {
				err = nil // the former host's
			}
			answers <- err
		})
	}
	for range 3 {
		select {
		case err := <-answers:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("a note has no answer after a minute")
		}
	}
	if a, b := read(t, s).High, read(t, other).High; a != (persistence.Mark{Seq: 9, Epoch: 2}) || b != (persistence.Mark{Seq: 8, Epoch: 1}) {
		t.Errorf("the marks are %v and %v", a, b)
	}
}
