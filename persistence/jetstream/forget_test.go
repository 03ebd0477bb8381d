package jetstream

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// TestForgetDropsWhatWasRemovedAndNothingElse: not the seal of a room whose log is kept, nor a room that plays; but also what
// a late owner published.
func TestForgetDropsWhatWasRemovedAndNothingElse(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	names := neighbours("main", 6)[1:] // the first makes the noise
	rooms := make([]*Shard, len(names))
	var lates *writer
	for i, name := range names {
		var w *writer
		if rooms[i], w = room(t, c, name, 1); i == 2 {
			lates = w
		}
		if i == 4 {
			continue // it plays
		}
		if err := rooms[i].log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 2, 3} {
		if err := Remove(ctx, c, rooms[i].ref); err != nil {
			t.Fatal(err)
		}
	}
	late := rooms[2].deltas
	if err := late.Publish(ctx, []persistence.Delta{deltaOf(11, 100)}); errors.Is(err, persistence.ErrConflict) {
		if _, _, err = late.Last(ctx); err == nil {
			err = late.Publish(ctx, []persistence.Delta{deltaOf(11, 100)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := messagesOf(t, c, names[2]); n["delta"] != 1 {
		t.Fatalf("the late delta is not stored: %v", n)
	}
	if err := rooms[2].snapshots.Put(ctx, snapshotOf(lates), nil); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		before time.Duration
		want   int
	}{{-time.Hour, 0}, {time.Hour, 3}, {time.Hour, 0}} {
		if n, err := Forget(ctx, c, "dev", time.Now().Add(x.before)); n != x.want || err != nil {
			t.Errorf("%d rooms were forgotten, not %d: %v", n, x.want, err)
		}
	}
	for _, i := range []int{0, 2, 3} {
		if n := messagesOf(t, c, names[i]); len(n) != 0 {
			t.Errorf("of the forgotten room %s are left: %v", names[i], n)
		}
	}
	if all, err := rooms[2].snapshots.List(ctx); len(all) != 0 || err != nil {
		t.Errorf("of the forgotten room are left the snapshots %v: %v", all, err)
	}
	for i, want := range map[int]uint64{1: 1, 4: 0} {
		if n := messagesOf(t, c, names[i]); n["log"] != 12 || n["delta"] != 10 || n[sealSuffix] != want {
			t.Errorf("of the room %s are left: %v", names[i], n)
		}
	}
}

// TestForgetRemovesAgainWhatCameBack: a server that is killed may have what was purged in its last minutes once more. The records
// of a room whose removal is noted go again, but not those of one that was purged to a snapshot, or that plays.
func TestForgetRemovesAgainWhatCameBack(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	names := neighbours("main", 4)[1:] // the first makes the noise
	rooms := make([]*Shard, len(names))
	for i, name := range names {
		var w *writer
		rooms[i], w = room(t, c, name, 1)
		below := persistence.Seq(5)
		if i < 2 {
			if err := rooms[i].log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			seal, _, err := rooms[i].log.last(ctx)
			if err != nil {
				t.Fatal(err)
			}
			below = persistence.Seq(seal.num)
		}
		if err := rooms[i].log.notePurge(ctx, below); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Forget(ctx, c, "dev", time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("%d rooms were forgotten: %v", n, err)
	}
	if n := messagesOf(t, c, names[0]); n["log"] != 0 || n["delta"] != 0 || n[sealSuffix] != 1 {
		t.Errorf("of the room that was removed are left: %v", n)
	}
	for _, name := range names[1:] {
		if n := messagesOf(t, c, name); n["log"] == 0 || n["delta"] == 0 {
			t.Errorf("of the room %s are left: %v", name, n)
		}
	}
}

// TestMarksOfRoomsThatOthersRemoveAreDropped: a process that embeds the server forgets what it has noted of a room that
// another one has removed, but not of one that is gone without a seal.
func TestMarksOfRoomsThatOthersRemoveAreDropped(t *testing.T) {
	ctx, s := testContext(t), startServer(t, ServerConfig{User: "node", Password: "secret"})
	c := connectTo(t, s)
	other := site{addrs: []string{s.Addr()}, user: "node:secret@", replicas: 1}.connect(t, "")
	names := neighbours("main", 4)[1:]
	var refs []Ref
	for i, name := range names {
		r, w := roomOf(t, c, newWriterOf(Ref{"dev", name, fmt.Sprintf("%s-%d", testLineage, i)}), 1)
		if name != names[2] {
			if err := r.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
				t.Fatal(err)
			}
		}
		refs = append(refs, r.ref)
		r.Close()
	}
	stream := partitionStream("dev", partitionOf("main"))
	noted := func(want ...int) {
		t.Helper()
		all, damaged, err := readMarks(s.Dir(), stream)
		if err != nil || damaged > 0 || len(all) != len(want) {
			t.Errorf("%d marks, not %d: %v, %v", len(all), len(want), all, err)
		}
		for i := range refs {
			_, err := os.Stat(shelfPath(s.Dir(), refs[i]))
			there := err == nil
			should := false
			for _, w := range want {
				should = should || w == i
			}
			if there != should {
				t.Errorf("the note of %s's snapshots is there: %v", refs[i].Shard, there)
			}
		}
	}
	if err := Remove(ctx, other, refs[0]); err != nil {
		t.Fatal(err)
	}
	lost, err := c.stream(ctx, stream, true)
	if err == nil {
		err = purgeSubject(ctx, lost, sharedSubject(refs[2], partitionOf("main"), "log"))
	}
	if err != nil {
		t.Fatal(err)
	}
	noted(0, 1, 2)
	if n, err := Forget(ctx, c, "dev", time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Error(n, err)
	}
	noted(1, 2)
}

// TestAMarkThatIsNeverWrittenTakesNoPlace: whoever looks at a room without writing to it leaves nothing behind.
func TestAMarkThatIsNeverWrittenTakesNoPlace(t *testing.T) {
	s := startServer(t, ServerConfig{Port: -1})
	c := connectTo(t, s)
	names := neighbours("main", 20)
	for range 2 {
		for _, name := range names {
			shard, err := Create(testContext(t), c, "dev", name, testLineage+name, Options{Shared: true})
			if err != nil {
				t.Fatal(err)
			}
			shard.Close()
		}
	}
	table, err := s.marks(partitionStream("dev", partitionOf("main")))
	if err != nil {
		t.Fatal(err)
	}
	if len(table.places) != 0 || table.end > 1 {
		t.Errorf("%d places of %d are taken", len(table.places), table.end)
	}
}
