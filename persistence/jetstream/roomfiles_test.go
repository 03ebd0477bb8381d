package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// The rooms of the stores of these tests share a partition, and so their blocks: three live ones, one without its first
// records, which were purged, and one that has ended and was removed.
const (
	roomRecords = 60
	sealedAt    = 41
	purgedAt    = 30
)

var (
	roomNames = append([]string{"room"}, neighbours("room", 4)...)
	liveRooms = roomNames[:3]
	purged    = roomNames[3]
	removed   = roomNames[4]
	partition = partitionStream("dev", partitionOf("room"))
)

func refOf(shard string) Ref {
	return Ref{"dev", shard, fmt.Sprintf("0197e1a0-0000-7000-8000-%012d", 100+slices.Index(roomNames, shard))}
}

// roomOptions make the partition small, and so its blocks.
func roomOptions() Options {
	o := Options{Shared: true, LogBytes: 1 << 20, DeltaBytes: 1 << 20, SnapshotBytes: 16 << 20}
	o.partition.log, o.partition.deltas = 300<<10, 300<<10
	return o
}

func init() { children["rooms"] = writeRooms }

// writeRooms is writeStore for rooms.
func writeRooms(dir string) {
	t := &childT{}
	ctx := context.Background()
	s, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
	t.must(err)
	c, err := s.Connect(ctx)
	t.must(err)
	shards, writers := map[string]*Shard{}, map[string]*writer{}
	for _, name := range roomNames {
		shards[name], err = Create(ctx, c, "dev", name, refOf(name).Lineage, roomOptions())
		t.must(err)
		writers[name] = newWriterOf(refOf(name))
	}
	for i := range roomRecords {
		for _, name := range roomNames {
			shard, w := shards[name], writers[name]
			if name == removed && w.chain.Seq() == sealedAt {
				continue
			}
			m, r, err := w.next()
			if name == removed && i+1 == sealedAt {
				r = &persistence.Record{Kind: persistence.KindSeal, Epoch: 1, Seal: &persistence.Seal{Node: "n1", Tick: w.chain.Tick(), Reason: persistence.EndIdle}}
				m, err = w.chain.Link(r, nil)
			}
			t.must(err)
			t.must(shard.log.Append(ctx, m, w.chain.Seq()))
			w.chain.Advance(r, persistence.HashOf(m.Body))
			if tick := w.chain.Tick(); tick > 0 && tick%2 == 0 && tick <= roomRecords-10 && name != removed {
				before, last := deltaOf(tick-1, 50), deltaOf(tick, 50)
				before.Lineage, last.Lineage = w.ref.Lineage, w.ref.Lineage
				t.must(shard.deltas.Publish(ctx, []persistence.Delta{before, last}))
			}
			if name == removed && i+1 == 20 || name == purged && (i+1 == purgedAt || i+1 == purgedAt+10) {
				t.must(shard.snapshots.Put(ctx, snapshotOf(w), nil))
			}
		}
	}
	t.must(shards[purged].log.Purge(ctx, purgedAt))
	t.must(Remove(ctx, c, refOf(removed)))
	fmt.Println("ready")
	if os.Getenv("WIND_TEST_CLEAN") == "" {
		select {}
	}
	for _, shard := range shards {
		shard.Close()
	}
	c.Close()
	s.Close()
	fmt.Println("stopped")
}

// roomRow is a row of a room's log; num is the record's number.
type roomRow struct {
	row
	shard string
	num   persistence.Seq
}

// roomRows lists the rows of a partition that are in the logs of rooms or in their deltas, with the newest last.
func roomRows(t *testing.T, store, stream string) (all []roomRow) {
	t.Helper()
	for _, r := range rowsOf(t, store, stream) {
		m := parseRow(readFile(t, r.file)[r.at:r.end], r.seq)
		ref, kind, ok := parseSharedSubject(m.subject)
		if !ok || kind == "" {
			continue
		}
		_, num, _ := strings.Cut(string(m.header), headerSeq+": ")
		n, err := strconv.Atoi(num[:strings.Index(num, "\r")])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, roomRow{r, ref.Shard, persistence.Seq(n)})
	}
	return all
}

func rowOf(t *testing.T, rows []roomRow, shard string, num persistence.Seq) roomRow {
	t.Helper()
	i := slices.IndexFunc(rows, func(r roomRow) bool { return r.shard == shard && r.num == num })
	if i < 0 {
		t.Fatalf("record %d of %s is not in the files", num, shard)
	}
	return rows[i]
}

// mangle flips two bits of a row's body, which nothing can repair.
func mangle(t *testing.T, r roomRow) {
	flip(t, r.file, r.end-20, 1)
	flip(t, r.file, r.end-60, 1)
}

// cutBehind removes everything that was written to a stream from a row on.
func cutBehind(t *testing.T, rows []roomRow, first roomRow) {
	for _, r := range rows {
		if r.file != first.file && r.seq > first.seq {
			_ = os.Remove(r.file)
		}
	}
	edit(t, first.file, func(b []byte) []byte { return b[:first.at] })
}

// damagedRooms returns the first damaged record of each room, as the check before a start says.
func damagedRooms(t *testing.T, dir string) map[string]persistence.Seq {
	t.Helper()
	return damagedOf(t, dir, roomRecords)
}

// damagedOf does the same if nothing proves more than so many records of each.
func damagedOf(t *testing.T, dir string, records persistence.Seq) map[string]persistence.Seq {
	t.Helper()
	before := fingerprint(t, dir)
	states, err := CheckStore(testContext(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(t, dir) != before {
		t.Fatal("the check changed the store")
	}
	damaged := map[string]persistence.Seq{}
	for _, s := range states {
		if s.Partition != partition || s.Lineage != refOf(s.Shard).Lineage {
			t.Fatalf("%+v", s)
		}
		if d := s.Damage; d != nil {
			damaged[s.Shard] = d.Seq
			t.Log(d)
			if !errors.Is(d, persistence.ErrLost) || d.Tick != tickOf(d.Seq) && d.Seq != purgedAt || !strings.Contains(d.Error(), "room "+s.Shard+" ") || strings.Contains(d.Error(), "\n") {
				t.Errorf("an unclear error (tick %d): %v", d.Tick, d)
			}
			continue
		}
		first, last := persistence.Seq(1), records
		switch s.Shard {
		case purged:
			first = purgedAt
		case removed:
			first, last = sealedAt, min(sealedAt, records)
		}
		if s.First != first && s.Shard != removed || s.Last < last { // its removal may be in a cut tail
			t.Errorf("the log of %s is proven from %d to %d", s.Shard, s.First, s.Last)
		}
	}
	return damaged
}

// checkedRoom returns the result of log check for a room in a copy.
func checkedRoom(t *testing.T, c *Copy, shard string) persistence.Report {
	t.Helper()
	s, _, err := c.Open(testContext(t), "dev", shard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	report, err := persistence.Check(testContext(t), s.Source(), persistence.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestDamageToOneRoomIsItsOwn damages the files that rooms share. The check before a start names the rooms that lost
// records, and log check finds the same in a copy, of all rooms and of one alone. A server starts, the other rooms go
// on, and the next check says the same.
func TestDamageToOneRoomIsItsOwn(t *testing.T) {
	a, b, c := liveRooms[0], liveRooms[1], liveRooms[2]
	type lost = map[string]persistence.Seq
	stores := map[string]string{}
	for _, end := range ends {
		stores[end] = newStoreOf(t, end, "rooms")
	}
	for _, test := range []struct {
		what   string
		damage func(t *testing.T, dir string, rows []roomRow)
		want   lost
	}{
		{"nothing", func(*testing.T, string, []roomRow) {}, lost{}},
		{"one flipped bit", func(t *testing.T, _ string, rows []roomRow) {
			r := rowOf(t, rows, b, 20)
			flip(t, r.file, r.end-20, 1)
		}, lost{}},
		{"a flipped bit of a sequence, which leaps", func(t *testing.T, _ string, rows []roomRow) {
			r := rowOf(t, rows, b, 20)
			flip(t, r.file, r.at+9, 0x40)
		}, lost{}},
		{"two flipped bits", func(t *testing.T, _ string, rows []roomRow) { mangle(t, rowOf(t, rows, b, 20)) }, lost{b: 20}},
		{"records of two rooms in a row", func(t *testing.T, _ string, rows []roomRow) {
			mangle(t, rowOf(t, rows, a, 33))
			mangle(t, rowOf(t, rows, b, 33))
		}, lost{a: 33, b: 33}},
		{"a record whose subject is gone", func(t *testing.T, _ string, rows []roomRow) {
			r := rowOf(t, rows, b, 20)
			edit(t, r.file, func(b []byte) []byte { clear(b[r.at+4 : r.at+150]); return b })
		}, lost{b: 20}},
		{"a room's last record, which is not the stream's", func(t *testing.T, _ string, rows []roomRow) { mangle(t, rowOf(t, rows, a, roomRecords)) }, lost{a: roomRecords}},
		{"a room's first record", func(t *testing.T, _ string, rows []roomRow) { mangle(t, rowOf(t, rows, a, 1)) }, lost{a: 1}},
		{"the seal of a removed room", func(t *testing.T, _ string, rows []roomRow) { mangle(t, rowOf(t, rows, removed, sealedAt)) }, lost{}}, // nobody needs it any more
		{"the first record that was not purged", func(t *testing.T, _ string, rows []roomRow) { mangle(t, rowOf(t, rows, purged, purgedAt)) }, lost{purged: purgedAt}},
		{"a record that was purged", func(t *testing.T, _ string, rows []roomRow) {
			if r := rows[3]; r.shard == purged && r.num == 1 {
				mangle(t, r)
			}
		}, lost{}},
		{"a deleted record", func(t *testing.T, _ string, rows []roomRow) {
			r, last := rowOf(t, rows, b, 33), rows[len(rows)-1]
			block, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(last.file), ".blk"))
			edit(t, last.file, func(b []byte) []byte { return append(b, tombstoneRow(partition, block, r.seq)...) })
		}, lost{b: 33}},
		{"a room's last record, deleted", func(t *testing.T, _ string, rows []roomRow) {
			r, last := rowOf(t, rows, b, roomRecords), rows[len(rows)-1]
			block, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(last.file), ".blk"))
			edit(t, last.file, func(b []byte) []byte { return append(b, tombstoneRow(partition, block, r.seq)...) })
		}, lost{b: roomRecords}},
		{"a removed record", func(t *testing.T, _ string, rows []roomRow) {
			r := rowOf(t, rows, b, 33)
			edit(t, r.file, func(b []byte) []byte { return slices.Delete(b, r.at, r.end) })
		}, lost{b: 33}},
		{"a cut tail", func(t *testing.T, _ string, rows []roomRow) { cutBehind(t, rows, rowOf(t, rows, b, roomRecords)) }, lost{b: roomRecords, c: roomRecords, purged: roomRecords}},
		{"a tail cut in a record", func(t *testing.T, _ string, rows []roomRow) {
			r := rowOf(t, rows, c, roomRecords-2)
			r.at += 40
			cutBehind(t, rows, r)
		}, lost{a: roomRecords - 1, b: roomRecords - 1, c: roomRecords - 2, purged: roomRecords - 2}},
		{"an unfinished write", func(t *testing.T, _ string, rows []roomRow) {
			last := rows[len(rows)-1]
			edit(t, last.file, func(b []byte) []byte { return append(b, b[last.at:last.at+100]...) })
		}, lost{}},
		{"the whole partition", func(t *testing.T, dir string, _ []roomRow) {
			_ = os.RemoveAll(filepath.Join(dir, accountDir, partition))
		}, lost{a: 1, b: 1, c: 1, purged: 1}},
		{"a delta", func(t *testing.T, dir string, _ []roomRow) {
			mangle(t, rowOf(t, roomRows(t, dir, partition+deltaSuffix), b, 20))
		}, lost{}},
	} {
		for _, end := range ends {
			t.Run(test.what+"/"+end, func(t *testing.T) {
				dir := duplicate(t, stores[end])
				test.damage(t, dir, roomRows(t, dir, partition))
				damaged := damagedRooms(t, dir)
				if !maps.Equal(damaged, test.want) {
					t.Fatalf("damaged are %v, want %v", damaged, test.want)
				}
				if test.what != "the whole partition" { // then there is nothing to look at
					look(t, dir, test.what, test.want)
				}
				goOn(t, dir, test.want)
				if again := damagedRooms(t, dir); !maps.Equal(again, test.want) {
					t.Fatalf("after a start, damaged are %v, want %v", again, test.want)
				}
			})
		}
	}
}

// TestDamageIsFoundWithoutMarks: nodes that use the store over the network write no marks, and a delta stream may be off.
// What a damaged piece may have been then decides.
func TestDamageIsFoundWithoutMarks(t *testing.T) {
	a, b := liveRooms[0], liveRooms[1]
	store := newStoreOf(t, "killed", "rooms")
	if err := errors.Join(os.RemoveAll(filepath.Join(store, marksDir)), os.RemoveAll(filepath.Join(store, accountDir, partition+deltaSuffix))); err != nil {
		t.Fatal(err)
	}
	erase := func(t *testing.T, r roomRow) { // its subject too
		edit(t, r.file, func(b []byte) []byte { clear(b[r.at+4 : r.at+150]); return b })
	}
	for _, test := range []struct {
		what   string
		damage func(t *testing.T, rows []roomRow)
		want   map[string]persistence.Seq
		says   string
	}{
		{"nothing", func(*testing.T, []roomRow) {}, nil, ""},
		{"in the middle", func(t *testing.T, rows []roomRow) { mangle(t, rowOf(t, rows, b, 20)) }, map[string]persistence.Seq{b: 20}, "checksum"},
		{"in the middle, without a name", func(t *testing.T, rows []roomRow) { erase(t, rowOf(t, rows, b, 20)) }, map[string]persistence.Seq{b: 20}, "is missing"},
		{"a room's last record", func(t *testing.T, rows []roomRow) { mangle(t, rowOf(t, rows, a, roomRecords)) }, map[string]persistence.Seq{a: roomRecords}, "checksum"},
		{"a room's last record, without a name", func(t *testing.T, rows []roomRow) { erase(t, rowOf(t, rows, a, roomRecords)) }, map[string]persistence.Seq{a: roomRecords}, "checksum"},
		{"of two rooms, without names", func(t *testing.T, rows []roomRow) {
			erase(t, rowOf(t, rows, a, roomRecords))
			erase(t, rowOf(t, rows, b, 20))
		}, map[string]persistence.Seq{a: roomRecords, b: 20}, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			dir := duplicate(t, store)
			test.damage(t, roomRows(t, dir, partition))
			if damaged := damagedRooms(t, dir); !maps.Equal(damaged, test.want) {
				t.Fatalf("damaged are %v, want %v", damaged, test.want)
			}
			states, err := CheckStore(testContext(t), dir)
			for _, s := range states {
				if s.Damage != nil && !strings.Contains(s.Damage.Error(), test.says) {
					t.Errorf("the error does not say %q: %v", test.says, s.Damage)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCutTailOfRoomsIsFoundWithoutMarks: the last delta of each room knows how far its log came, and so do its snapshots.
func TestCutTailOfRoomsIsFoundWithoutMarks(t *testing.T) {
	a, b, c := liveRooms[0], liveRooms[1], liveRooms[2]
	for _, end := range ends {
		dir := newStoreOf(t, end, "rooms")
		if err := os.RemoveAll(filepath.Join(dir, marksDir)); err != nil {
			t.Fatal(err)
		}
		rows := roomRows(t, dir, partition)
		cutBehind(t, rows, rowOf(t, rows, b, 50)) // the deltas know record 52
		if damaged, want := damagedRooms(t, dir), (map[string]persistence.Seq{a: 51, b: 50, c: 50, purged: 50}); !maps.Equal(damaged, want) {
			t.Errorf("%s: damaged are %v, want %v", end, damaged, want)
		}
		if err := os.RemoveAll(filepath.Join(dir, accountDir, partition+deltaSuffix)); err != nil {
			t.Fatal(err)
		}
		cutBehind(t, rows, rowOf(t, rows, b, 38)) // a snapshot knows record 40
		if damaged, want := damagedOf(t, dir, 37), (map[string]persistence.Seq{purged: 38}); !maps.Equal(damaged, want) {
			t.Errorf("%s, without deltas: damaged are %v, want %v", end, damaged, want)
		}
	}
}

// look checks all rooms in a copy of a store.
func look(t *testing.T, dir, test string, want map[string]persistence.Seq) {
	t.Helper()
	all, err := OpenCopy(testContext(t), dir, CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	one, err := OpenCopy(testContext(t), dir, CopyOptions{Cluster: "dev", Shard: liveRooms[1]})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	for what, c := range map[string]*Copy{"all rooms": all, "one room": one} {
		refs, err := logsIn(dir, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			name := ref.Shard
			if test == "the seal of a removed room" && name == removed {
				continue // the frame of its row is whole, so that it is listed
			}
			r := checkedRoom(t, c, name)
			seq, damaged := want[name]
			switch {
			case damaged && test == "two flipped bits" && r.Records != roomRecords-1:
				t.Errorf("the check of a copy of %s reads %d records around the damaged one", what, r.Records)
			case damaged && (!r.Broken() || r.Findings[0].Seq != seq || r.Findings[0].Tick != tickOf(seq) && seq != purgedAt):
				t.Errorf("record %d of %s is damaged, the check of a copy of %s finds %+v", seq, name, what, r.Findings)
			case !damaged && test == "a delta" && name == liveRooms[1]:
				if !slices.ContainsFunc(r.Findings, func(f persistence.Finding) bool {
					return f.Where == "deltas" && strings.Contains(f.What, "damage to one message")
				}) {
					t.Errorf("the check of a copy of %s finds %+v of the damaged delta", what, r.Findings)
				}
			case !damaged && r.Broken():
				t.Errorf("room %s is whole, the check of a copy of %s finds %+v", name, what, r.Findings)
			}
		}
	}
}

// goOn starts a server and continues all rooms that are not damaged.
func goOn(t *testing.T, dir string, want map[string]persistence.Seq) {
	t.Helper()
	s := startServer(t, ServerConfig{Dir: dir, Port: -1})
	defer s.Close()
	c := connectTo(t, s)
	defer c.Close()
	for _, name := range append(slices.Clone(liveRooms), purged) {
		if _, damaged := want[name]; damaged {
			continue
		}
		shard, err := Open(testContext(t), c, "dev", name, refOf(name).Lineage, roomOptions())
		if err != nil {
			t.Fatal(err)
		}
		if w := appendAlone(t, shard, 1); w.chain.Seq() != roomRecords+1 {
			t.Errorf("room %s ends with record %d", name, w.chain.Seq())
		}
		shard.Close()
	}
}

// appendAlone appends records without a neighbour's messages between them.
func appendAlone(t *testing.T, s *Shard, n int) *writer {
	t.Helper()
	w := resume(t, s)
	for range n {
		m, r, err := w.next()
		if err == nil {
			err = s.log.Append(testContext(t), m, w.chain.Seq())
		}
		if err != nil {
			t.Fatal(err)
		}
		w.chain.Advance(r, persistence.HashOf(m.Body))
	}
	return w
}

// TestNothingIsKnownOfAForgottenRoom: its rows are still in the blocks, deleted. They are no evidence that the room had a
// log, and a later room of its name is no other lineage's.
func TestNothingIsKnownOfAForgottenRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	server := startServer(t, ServerConfig{Dir: dir, Port: -1})
	c := connectTo(t, server)
	o := Options{Shared: true}
	again := Ref{"dev", "room", testLineage}
	for _, ref := range []Ref{refOf("room"), refOf(roomNames[1])} { // the other one keeps the blocks
		s, err := Create(testContext(t), c, ref.Cluster, ref.Shard, ref.Lineage, o)
		if err != nil {
			t.Fatal(err)
		}
		w := appendAlone(t, s, 12)
		d := deltaOf(10, 50)
		d.Lineage = ref.Lineage
		if err := s.deltas.Publish(testContext(t), []persistence.Delta{d}); err != nil {
			t.Fatal(err)
		}
		if ref.Shard == "room" {
			putSnapshot(t, s)
			r := &persistence.Record{Kind: persistence.KindSeal, Epoch: 1, Seal: &persistence.Seal{Node: "n1", Tick: w.chain.Tick(), Reason: persistence.EndIdle}}
			m, err := w.chain.Link(r, nil)
			if err == nil {
				err = s.log.Append(testContext(t), m, w.chain.Seq())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
	}
	check := func(what string, want ...Ref) {
		t.Helper()
		server.Close()
		states, err := CheckStore(testContext(t), dir)
		var got []Ref
		for _, s := range states {
			if s.Damage != nil || s.Shard == "room" && (s.Last != 13) != (s.Lineage == testLineage) {
				t.Errorf("%s: %+v", what, s)
			}
			got = append(got, s.Ref)
		}
		slices.SortFunc(want, func(a, b Ref) int { return strings.Compare(a.Shard+a.Lineage, b.Shard+b.Lineage) })
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s: %v, %v, want %v", what, got, err, want)
		}
		if got, err := ShardsIn(dir); err != nil || len(got) != len(want) {
			t.Errorf("%s: the directory has the logs of %v, %v", what, got, err)
		}
		server = startServer(t, ServerConfig{Dir: dir, Port: -1})
		c = connectTo(t, server)
	}
	other := refOf(roomNames[1])
	check("ended", refOf("room"), other)
	if err := Remove(testContext(t), c, refOf("room")); err != nil {
		t.Fatal(err)
	}
	check("removed", refOf("room"), other)
	if n, err := Forget(testContext(t), c, "dev", time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if rows := roomRows(t, dir, partition); len(rows) != 13+12 {
		t.Fatalf("%d rows are left: the test shows nothing", len(rows))
	}
	check("forgotten", other)
	s, err := Create(testContext(t), c, again.Cluster, again.Shard, again.Lineage, o)
	if err != nil {
		t.Fatal(err)
	}
	appendAlone(t, s, 3)
	s.Close()
	check("made again", again, other)
}

// TestFlipsAnywhereAmongRooms flips bits in the files that rooms share, as TestFlipsAnywhere does in those of one shard: a start
// is refused and names the damage, or each room that it does not call damaged is whole and goes on.
func TestFlipsAnywhereAmongRooms(t *testing.T) {
	rnd := newRand(t)
	rounds := 4
	if os.Getenv("WIND_LONG") != "" {
		rounds = 120
	}
	stores := map[string]string{}
	for _, end := range ends {
		stores[end] = newStoreOf(t, end, "rooms")
	}
	for i := range rounds {
		for kind, do := range []func(*testing.T, *rand.Rand, string) damage{flipField, flipAny, flipTwo, breakFile} {
			end := ends[(i+kind)%2]
			t.Run(fmt.Sprintf("%s/%d-%d", end, i, kind), func(t *testing.T) {
				dir := duplicate(t, stores[end])
				t.Log(do(t, rnd, dir).what)
				states, err := CheckStore(testContext(t), dir)
				var damaged *DamagedLogError
				if err != nil {
					if !errors.As(err, &damaged) || !strings.Contains(err.Error(), partition) {
						t.Errorf("a start is refused without a name: %v", err)
					}
					return
				}
				lost := map[string]persistence.Seq{}
				for _, s := range states {
					if s.Damage != nil {
						t.Log(s.Damage)
						lost[s.Shard] = s.Damage.Seq
					}
				}
				goOn(t, dir, lost)
			})
		}
	}
}

// flipTwo flips two bits of a row of a stream that rooms share.
func flipTwo(t *testing.T, rnd *rand.Rand, dir string) damage {
	stream := partition
	if rnd.IntN(4) == 0 {
		stream += deltaSuffix
	}
	rows := rowsOf(t, dir, stream)
	r := rows[rnd.IntN(len(rows))]
	for range 2 {
		flip(t, r.file, r.at+rnd.IntN(r.end-r.at), 1<<rnd.IntN(8))
	}
	return damage{what: fmt.Sprintf("two bits of message %d of %s", r.seq, stream)}
}
