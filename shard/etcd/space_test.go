package etcd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
)

// TestNotesGrowAnEtcdThatNobodyCompacts measures how many bytes a note takes in an etcd that keeps all revisions, and
// what a day of a shard's notes adds up to: one a second, and one every slowNotes. After compaction, they take nothing.
func TestNotesGrowAnEtcdThatNobodyCompacts(t *testing.T) {
	c := cluster(t)
	n, s := member(t, c, "a", time.Minute)
	claim(t, n, s)
	inUse := func() int64 {
		got, err := c.Status(t.Context(), c.Endpoints()[0])
		if err != nil {
			t.Fatal(err)
		}
		return got.DbSizeInUse
	}
	const notes = 600
	note := func(from int) {
		for i := range notes {
			if err := s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: persistence.Seq(from + i), Epoch: 1}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := inUse()
	note(1)
	grown := func() (each, day float64) { // the server commits behind its answers
		each = float64(inUse()-before) / notes
		return each, each * 86400 / 1e6
	}
	eventually(t, "the notes are in the file", func() bool { _, day := grown(); return day >= 5 })
	if each, day := grown(); day > 50 {
		t.Errorf("a note takes %.0f bytes, %.1f MB a day", each, day)
	} else {
		t.Logf("a note takes %.0f bytes: one a second %.1f MB a day, one each %v %.1f MB", each, day, slowNotes, day/slowNotes.Seconds())
	}
	space, err := SpaceOf(t.Context(), c)
	if err != nil || !space.Compacts || space.Full || space.Advice() != "" {
		t.Errorf("a young etcd: %+v, %v", space, err)
	}
	// In an etcd that nobody compacts, marks are written less often.
	n.crowded.Store(true)
	at := read(t, s).Revision
	note(2 * notes)
	if now := read(t, s); now.Revision > at+3 || now.High.Seq < notes {
		t.Errorf("%d notes in an etcd that nobody compacts made %d revisions, the mark is %d", notes, now.Revision-at, now.High.Seq)
	}
	n.crowded.Store(false)
	note(3 * notes)
	if now := read(t, s); now.High.Seq != 4*notes-1 {
		t.Errorf("the mark is %d", now.High.Seq)
	}
}

// TestANodeCompactsWhereItMay makes a node check at two times that are compactAfter apart.
func TestANodeCompactsWhereItMay(t *testing.T) {
	c := cluster(t)
	n, s := member(t, c, "a", time.Minute)
	claim(t, n, s)
	watch := tending{node: n}
	now := time.Now()
	if err := watch.compact(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	old := read(t, s).Revision
	for i := range 50 {
		if err := s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: persistence.Seq(i + 1), Epoch: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, after := range []time.Duration{time.Minute, compactAfter - time.Second, compactAfter} {
		_, err := c.Get(t.Context(), "/x", clientv3.WithRev(old-1))
		if err != nil {
			t.Fatalf("compacted after less than %v: %v", after, err)
		}
		if err := watch.compact(t.Context(), now.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Get(t.Context(), "/x", clientv3.WithRev(old-1)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("an old revision: %v", err)
	}
	if _, err := c.Get(t.Context(), "/x", clientv3.WithRev(old+10)); err != nil {
		t.Errorf("a young revision: %v", err)
	}
	if space, err := SpaceOf(t.Context(), c); err != nil || !space.Compacts {
		t.Errorf("a compacted etcd: %+v, %v", space, err)
	}
}

// TestAFullEtcdDoesNotStopAShard uses up etcd's quota under a ticking shard. The shard keeps ticking and logs why its
// notes are refused and what to do, and the notes continue once there is room.
func TestAFullEtcdDoesNotStopAShard(t *testing.T) {
	server, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Development: true, QuotaBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
	n, s := member(t, c, "a", time.Minute)
	store := persistence.NewMemory()
	h, err := shard.New(shard.HostConfig{
		Game: drift, Cluster: "test", Shard: "main", Node: "a", Lineage: "lineage-1", Build: ecs.Build{},
		Log: store.Log(), Frontend: witness{mu: &sync.Mutex{}, ticks: map[uint64]uint64{}, twice: new(int)}, Ownership: s, Lease: n,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	eventually(t, "it ticks", func() bool { return h.Stats().Tick > 20 })
	for err == nil {
		_, err = c.Put(t.Context(), "/elsewhere", strings.Repeat("x", 100<<10))
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	eventually(t, "it says that etcd is full", func() bool {
		all := h.Stats().Conditions
		return len(all) > 0 && all[0].Kind == shard.AwaitsEtcd && !all[0].Stops && strings.Contains(all[0].Text, "database space exceeded") && strings.Contains(all[0].Text, "etcdctl alarm disarm")
	})
	space, err := SpaceOf(t.Context(), c)
	if err != nil || !space.Full || !strings.Contains(space.Advice(), "--etcd-compact") {
		t.Errorf("a full etcd: %+v, %v", space, err)
	}
	at := h.Stats().Tick
	eventually(t, "it ticks on", func() bool { return h.Stats().Tick > at+100 })
	got, err := c.Get(t.Context(), "/elsewhere")
	if err == nil {
		_, err = c.Compact(t.Context(), got.Header.Revision)
	}
	if err == nil {
		_, err = c.Defragment(t.Context(), c.Endpoints()[0])
	}
	if err == nil {
		_, err = c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{Alarm: etcdserverpb.AlarmType_NOSPACE, MemberID: got.Header.MemberId})
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "its notes go on", func() bool { return len(h.Stats().Conditions) == 0 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
