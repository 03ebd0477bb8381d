package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

func folderOf(t *testing.T) *persistence.Folder {
	t.Helper()
	f, err := persistence.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// files returns the names of all files in a folder.
func files(t *testing.T, f *persistence.Folder) (all []string) {
	t.Helper()
	err := filepath.WalkDir(f.Place(""), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// plays creates a room that ends after 40 ticks.
func plays(t *testing.T, n *Node, key string, keep room.Keep) (id string) {
	t.Helper()
	id = room.ID(n.cluster.Name, key)
	_, created, err := etcd.CreateRoom(soon(t), n.cluster.Etcd, n.cluster.Name, id, room.Spec{Game: "match", Options: []byte(`{"ticks":40}`), Key: key, Seed: 7, Keep: keep})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	return id
}

// becomes waits until a room is in a phase.
func becomes(t *testing.T, n *Node, id string, phase room.Phase) (r *room.Room) {
	t.Helper()
	eventually(t, fmt.Sprint(id, " is ", phase), func() bool {
		r = n.rooms.registry.Room(id)
		return r != nil && r.Phase() == phase
	})
	return r
}

// replays checks that an archive is a whole room of 40 ticks.
func replays(t *testing.T, r *room.Room) {
	t.Helper()
	f, err := persistence.OpenFile(r.End.Archive.Place)
	if err != nil {
		t.Error(r.ID, err)
		return
	}
	defer f.Close()
	if p, err := persistence.NewReplay(match, f.Source(), persistence.ReplayOptions{Verify: true}).Run(t.Context()); err != nil || p.To != 40 {
		t.Errorf("room %s: %+v, %v", r.ID, p, err)
	}
	if c, err := persistence.Check(t.Context(), f.Source(), persistence.CheckOptions{Game: &match}); err != nil || len(c.Findings) > 0 || c.Resimulated != 40 {
		t.Errorf("room %s: %+v, %v", r.ID, c, err)
	}
}

// TestEveryArchiveReplays: rooms end, are archived and removed; their entries tell the result and the archive, until they
// go; and nothing comes after the seal that stays.
func TestEveryArchiveReplays(t *testing.T) {
	t.Parallel() // mostly waits
	data, to := t.TempDir(), folderOf(t)
	n := startRooms(t, func(c *Config) { c.Data, c.Archives = data, to })
	c := n.cluster
	var ids []string
	for i := range 6 {
		ids = append(ids, plays(t, n, fmt.Sprint("match-", i), room.KeepArchive))
	}
	var rooms []*room.Room
	for _, id := range ids {
		rooms = append(rooms, becomes(t, n, id, room.Gone))
	}
	for _, r := range rooms {
		if e := r.End; e.Reason != "result" || !strings.Contains(string(e.Result), `"red":3`) || e.Node != n.ID() || e.Gone.IsZero() || e.Archive.Node != n.ID() || e.Archive.Bytes == 0 {
			t.Errorf("%+v %+v", e, e.Archive)
		}
		replays(t, r)
		store, err := jetstream.Open(soon(t), c.NATS, c.Name, r.ID, r.End.Archive.Lineage, jetstream.Options{Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		if removed, err := removed(t, store.Log()); err != nil || !removed {
			t.Errorf("the log of room %s is there: %v", r.ID, err)
		}
		store.Close()
	}
	if all := files(t, to); len(all) != len(rooms) {
		t.Errorf("%d rooms left %v", len(rooms), all)
	}
	if got := n.RoomStats(); got.Kept != uint64(len(rooms)) || got.Unkept != 0 {
		t.Errorf("%+v", got)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if states, err := jetstream.CheckStore(soon(t), filepath.Join(data, "nats")); err != nil {
		t.Errorf("the store without the rooms: %+v, %v", states, err)
	}
}

// TestWhatIsKeptIsAsTheRoomAsked: a log, an archive or nothing.
func TestWhatIsKeptIsAsTheRoomAsked(t *testing.T) {
	t.Parallel() // mostly waits
	to := folderOf(t)
	n := startRooms(t, func(c *Config) { c.Archives, c.ForgetAfter = to, 3*time.Second })
	log, archive := plays(t, n, "log", room.KeepLog), plays(t, n, "archive", room.KeepArchive)
	plays(t, n, "none", room.KeepNone)
	kept := becomes(t, n, archive, room.Gone)
	eventually(t, "the rooms that are gone are forgotten", func() bool {
		all, _ := n.rooms.registry.Changes(-1)
		return len(all) == 1
	})
	if r := n.rooms.registry.Room(log); r == nil || r.Phase() != room.Sealed {
		t.Errorf("the room whose log is kept is %+v", r)
	}
	if all := files(t, to); !slices.Equal(all, []string{kept.End.Archive.Place}) {
		t.Errorf("archives: %v", all)
	}
	replays(t, kept)
	// The key makes a new room, with another log behind another seal.
	next := becomes(t, n, plays(t, n, "archive", room.KeepArchive), room.Gone)
	if next.ID != kept.ID || next.End.Archive.Lineage == kept.End.Archive.Lineage {
		t.Errorf("%+v after %+v", next.End.Archive, kept.End.Archive)
	}
	replays(t, next)
	replays(t, kept)
}

// TestALogIsRemovedWhenSomebodyWantsIt: of a room that has ended, whatever its spec keeps, but not before its archive unless that is
// said. The seal stays, and the room stays what its key has made.
func TestALogIsRemovedWhenSomebodyWantsIt(t *testing.T) {
	t.Parallel()            // mostly waits
	n := startRooms(t, nil) // without a place for archives
	c := n.cluster
	rooms := c.Rooms("")
	log, archive := plays(t, n, "log", room.KeepLog), plays(t, n, "archive", room.KeepArchive)
	runs, err := rooms.Create(soon(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "match", Key: "runs"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{log, archive} {
		becomes(t, n, id, room.Sealed)
	}
	_, err = rooms.Remove(soon(t), rpc.RoomRemoval{Room: runs.ID, Unarchived: true})
	refused(t, err, rpc.FailedPrecondition, false, "runs on node "+n.ID(), "wind room close "+runs.ID)
	_, err = rooms.Remove(soon(t), rpc.RoomRemoval{Room: "main", Unarchived: true})
	refused(t, err, rpc.FailedPrecondition, false, "main is a standing shard")
	_, err = rooms.Remove(soon(t), rpc.RoomRemoval{Room: "r-nowhere"})
	refused(t, err, rpc.NotFound, false, "no room r-nowhere")
	_, err = rooms.Remove(soon(t), rpc.RoomRemoval{Room: archive})
	refused(t, err, rpc.FailedPrecondition, false, "asked for an archive", "--archive")

	for range 2 { // the second time nothing is left to do
		for _, q := range []rpc.RoomRemoval{{Room: log}, {Room: archive, Unarchived: true}} {
			if removed, err := rooms.Remove(soon(t), q); err != nil || removed.State != "gone" || removed.End.Archive != "" {
				t.Errorf("%+v, %v", removed, err)
			}
			member, err := n.member.Shard(q.Room)
			if err != nil {
				t.Fatal(err)
			}
			lineage, err := member.AgreeLineage(soon(t), "0197e1a0-0000-7000-8000-000000000002")
			if err != nil {
				t.Fatal(err)
			}
			store, err := jetstream.Open(soon(t), c.NATS, c.Name, q.Room, lineage, jetstream.Options{Shared: true})
			if err != nil {
				t.Fatal(err)
			}
			last, err := store.Log().Last(soon(t))
			if removed, failed := removed(t, store.Log()); failed != nil || err != nil || !removed || last == 0 {
				t.Errorf("of the log of room %s more or less than the seal is left, up to record %d: %v, %v", q.Room, last, failed, err)
			}
			store.Close()
		}
	}
	again, err := rooms.Create(soon(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "match", Options: []byte(`{"ticks":40}`), Key: "log", Keep: "log"}})
	if err != nil || again.ID != log || again.State != "gone" || !strings.Contains(string(again.End.Result), `"red":3`) {
		t.Errorf("the key that made the room finds %+v, %v", again, err)
	}
}

// faulty are archives whose steps fail or wait as a test says.
type faulty struct {
	*persistence.Folder
	opens func(name string) error // before Open
	lists error                   // of List
}

func (f *faulty) List(ctx context.Context, prefix string) ([]string, error) {
	if f.lists != nil {
		return nil, f.lists
	}
	return f.Folder.List(ctx, prefix)
}

func (f *faulty) Open(ctx context.Context, name string) (persistence.Content, int64, error) {
	if err := f.opens(name); err != nil {
		return nil, 0, err
	}
	return f.Folder.Open(ctx, name)
}

// TestALogStaysUntilItsArchiveIsProven: an archive that cannot be read back is not noted, and the log not removed. A node
// that can read its own goes on.
func TestALogStaysUntilItsArchiveIsProven(t *testing.T) {
	t.Parallel() // mostly waits
	to := folderOf(t)
	var tries atomic.Int32
	n := startRooms(t, func(c *Config) {
		c.Archives = &faulty{Folder: to, opens: func(name string) error { tries.Add(1); return errors.New("the disk cannot be read") }}
		c.Logger = slog.New(slog.DiscardHandler)
	})
	c := n.cluster
	r := becomes(t, n, plays(t, n, "match", room.KeepArchive), room.Sealed)
	eventually(t, "the archive is tried", func() bool {
		n.rooms.keeping.mu.Lock()
		defer n.rooms.keeping.mu.Unlock()
		return tries.Load() > 0 && n.rooms.keeping.told[r.ID] != ""
	})
	if all := files(t, to); len(all) > 0 {
		t.Errorf("an archive that was not proven stays: %v", all)
	}
	if x := n.rooms.registry.Room(r.ID); x.Phase() != room.Sealed {
		t.Errorf("the room is %s", x.Phase())
	}
	if got := n.RoomStats(); got.Kept != 0 || got.Unkept != 1 {
		t.Errorf("%+v", got)
	}
	store, err := jetstream.Open(soon(t), c.NATS, c.Name, r.ID, "", jetstream.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if first, err := store.Log().First(soon(t)); err != nil || first != 1 {
		t.Errorf("its log begins at %d, %v", first, err)
	}
}

// TestALaterNodeKeepsARoomWhoseKeeperHasDied: after it had noted an archive in a folder that the later one cannot read, and
// before it removed the log. The later one archives the log again.
func TestALaterNodeKeepsARoomWhoseKeeperHasDied(t *testing.T) {
	t.Parallel() // mostly waits
	data, to := t.TempDir(), folderOf(t)
	n := startRooms(t, func(c *Config) { c.Data = data })
	c := n.cluster
	r := becomes(t, n, plays(t, n, "match", room.KeepArchive), room.Sealed) // there is no place for its archive
	end, revision, err := etcd.LookRoom(soon(t), c.Etcd, c.Name, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	end.Phase, end.Archive = room.Archived, &room.Archive{Name: "dev/elsewhere.wind", Node: "dead", Lineage: "x"}
	if _, _, moved, err := etcd.MoveRoom(soon(t), c.Etcd, c.Name, r.ID, *end, revision); err != nil || !moved {
		t.Fatal(moved, err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = startRooms(t, func(c *Config) { c.Data, c.Archives = data, to })
	r = becomes(t, n, r.ID, room.Gone)
	if r.End.Archive.Node != n.ID() {
		t.Errorf("%+v", r.End.Archive)
	}
	replays(t, r)
}

// TestALogWhoseRemovalHasBegunIsNotArchivedAgain: a keeper had noted its archive, in a folder that no other node can read, and died while it
// removed the log. What is left of the log is half a room, and must not take the place of the whole archive.
func TestALogWhoseRemovalHasBegunIsNotArchivedAgain(t *testing.T) {
	t.Parallel() // mostly waits
	data, first := t.TempDir(), folderOf(t)
	n := startRooms(t, func(c *Config) { c.Data = data })
	c := n.cluster
	id := becomes(t, n, plays(t, n, "match", room.KeepArchive), room.Sealed).ID // there is no place for its archive
	store, err := jetstream.Open(soon(t), c.NATS, c.Name, id, "", jetstream.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	ref := store.Ref()
	sum, err := persistence.Archive(soon(t), first, "dev/first.wind", store.Source())
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	end, revision, err := etcd.LookRoom(soon(t), c.Etcd, c.Name, id)
	if err != nil {
		t.Fatal(err)
	}
	end.Phase, end.Archive = room.Archived, &room.Archive{
		Place: first.Place("dev/first.wind"), Name: "dev/first.wind", Node: "dead", Lineage: ref.Lineage, Tick: sum.LastTick, Last: uint64(sum.Last), Hash: sum.LastHash.String(),
	}
	if _, _, moved, err := etcd.MoveRoom(soon(t), c.Etcd, c.Name, id, *end, revision); err != nil || !moved {
		t.Fatal(moved, err)
	}

	halfRemoves(t, c, ref, sum.Last)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = startRooms(t, func(c *Config) { c.Data, c.Archives = data, folderOf(t) })
	r := becomes(t, n, id, room.Gone)
	if r.End.Archive.Node != "dead" {
		t.Errorf("half a log has taken the archive's place: %+v", r.End.Archive)
	}
	replays(t, r)
}

// halfRemoves does what a node does that dies while it removes a room whose log ends with record last.
func halfRemoves(t *testing.T, c *Cluster, r jetstream.Ref, last persistence.Seq) {
	t.Helper()
	nc := c.NATS.NATS()
	for k := range 8 {
		lane := fmt.Sprintf("wind.%s.R%d.%s.%s", r.Cluster, k, r.Shard, r.Lineage)
		m, err := nc.Request(fmt.Sprintf("$JS.API.STREAM.MSG.GET.WIND_%s_R%d", r.Cluster, k), []byte(`{"last_by_subj":"`+lane+`.log"}`), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(m.Data), `"error"`) {
			continue // another partition has it
		}
		m.Subject, m.Reply, m.Data = lane, "", nil
		m.Header = map[string][]string{persistence.HeaderKind: {"note"}, "wind-purged-below": {fmt.Sprint(last)}}
		if _, err := nc.RequestMsg(m, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		m, err = nc.Request(fmt.Sprintf("$JS.API.STREAM.PURGE.WIND_%s_R%d", r.Cluster, k), []byte(`{"filter":"`+lane+`.log","keep":3}`), 5*time.Second)
		if err != nil || !strings.Contains(string(m.Data), `"success":true`) {
			t.Fatal(m, err)
		}
		return
	}
	t.Fatal("no partition has the log")
}

// TestWhatFailsForARoomThatIsOverIsTriedAgainLater: neither at once, which would ask a server that is away again and again, nor is it
// told of any longer once another node has done it.
func TestWhatFailsForARoomThatIsOverIsTriedAgainLater(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, nil)
	c, k := n.cluster, n.rooms.keeping
	goes := func(key string, fails bool) (id string) {
		id = becomes(t, n, plays(t, n, key, room.KeepLog), room.Sealed).ID
		if fails {
			k.mu.Lock()
			k.told[id] = "a moment ago"
			k.mu.Unlock()
		}
		return id
	}
	moves := func(id string, gone time.Time) {
		end, revision, err := etcd.LookRoom(soon(t), c.Etcd, c.Name, id)
		if err != nil {
			t.Fatal(err)
		}
		end.Phase, end.Gone = room.Gone, gone
		if _, _, moved, err := etcd.MoveRoom(soon(t), c.Etcd, c.Name, id, *end, revision); err != nil || !moved {
			t.Fatal(moved, err)
		}
	}
	failed, done, forgotten := goes("failed", true), goes("done", true), goes("forgotten", false)
	moves(failed, time.Now().Add(-48*time.Hour))
	moves(done, time.Now())
	moves(forgotten, time.Now().Add(-48*time.Hour))
	eventually(t, "the room that has been gone for two days is forgotten", func() bool { return n.rooms.registry.Room(forgotten) == nil })
	if n.rooms.registry.Room(failed) == nil {
		t.Error("a node that has just failed to forget a room tries again at once")
	}
	if got := n.RoomStats(); got.Unkept != 1 {
		t.Errorf("one attempt has failed, and another node has done what failed: %+v", got)
	}
}

// TestARoomIsForgottenThoughItsArchivesCannotBeSwept: a place that lists none may never do so again. The room's own archive stays.
func TestARoomIsForgottenThoughItsArchivesCannotBeSwept(t *testing.T) {
	t.Parallel() // mostly waits
	to := folderOf(t)
	f := &faulty{Folder: to, opens: func(string) error { return nil }, lists: errors.New("this user may not list what is here")}
	n := startRooms(t, func(c *Config) { c.Archives, c.ForgetAfter = f, time.Nanosecond })
	r := becomes(t, n, plays(t, n, "match", room.KeepArchive), room.Gone)
	eventually(t, "the room is forgotten", func() bool { return n.rooms.registry.Room(r.ID) == nil })
	eventually(t, "nothing is left to do", func() bool { return n.RoomStats().Unkept == 0 })
	replays(t, r)
}

// removed reports whether nothing but the seal is left of a log.
func removed(t *testing.T, log persistence.LogReader) (bool, error) {
	first, err := log.First(soon(t))
	if err != nil || first <= 1 {
		return false, err
	}
	m, err := log.Get(soon(t), first)
	return err == nil && m.Header.Kind == persistence.KindSeal.String(), err
}

// TestARoomThatCannotBeForgottenIsLookedAtNowAndThen: while it has an owner's key, or this node has not heard yet that it is
// forgotten, etcd is not asked without a pause.
func TestARoomThatCannotBeForgottenIsLookedAtNowAndThen(t *testing.T) {
	t.Parallel() // mostly waits
	to := folderOf(t)
	n := startRooms(t, func(c *Config) { c.Archives, c.ForgetAfter = to, 2*time.Second })
	r := becomes(t, n, plays(t, n, "match", room.KeepArchive), room.Gone)
	owner := "/wind/" + n.cluster.Name + "/shards/" + r.ID + "/owner"
	if _, err := n.cluster.Etcd.Put(soon(t), owner, "a node that has left its key"); err != nil {
		t.Fatal(err)
	}
	if err := n.rooms.keeping.forget(soon(t), r.ID); err != nil { // not old enough
		t.Fatal(err)
	}
	eventually(t, "its day is over", func() bool { at, ok := r.Expires(2 * time.Second); return ok && time.Now().After(at) })
	if err := n.rooms.keeping.forget(soon(t), r.ID); !errors.Is(err, errLater) {
		t.Errorf("forgetting a room that has an owner's key: %v", err)
	}
	if _, err := n.cluster.Etcd.Delete(soon(t), owner); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the room is forgotten", func() bool { return n.rooms.registry.Room(r.ID) == nil })
	if err := n.rooms.keeping.forget(soon(t), r.ID); !errors.Is(err, errLater) {
		t.Errorf("forgetting a room that is forgotten: %v", err)
	}
}
