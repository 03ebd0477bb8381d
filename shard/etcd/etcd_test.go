package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

// children are what this test binary does as a separate process; it prints the result.
var children = map[string]func(dir string) error{}

func TestMain(m *testing.M) {
	if run := children[os.Getenv("WIND_TEST_CHILD")]; run != nil {
		fmt.Println(run(os.Getenv("WIND_TEST_DIR")))
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.etcd.io/etcd/client/pkg/v3/logutil.(*MergeLogger).outputLoop"))
}

// cluster starts a server and returns a connection to it.
func cluster(t *testing.T) *clientv3.Client {
	t.Helper()
	s, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Development: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// member joins a node and returns its view of the shard main.
func member(t *testing.T, c *clientv3.Client, id string, ttl time.Duration) (*Node, *Shard) {
	t.Helper()
	n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: id, TTL: ttl, Addresses: map[string]string{"udp": "127.0.0.1:7777"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.Shard("main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return n, s
}

func read(t *testing.T, s *Shard) shard.Standing {
	t.Helper()
	st, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// claim bids for the next epoch.
func claim(t *testing.T, n *Node, s *Shard) bool {
	t.Helper()
	st := read(t, s)
	ok, err := s.Claim(t.Context(), shard.Bid{Node: n.ID(), Lease: n.State().ID, Epoch: st.Epoch + 1, EpochRevision: st.EpochRevision, Lineage: "lineage-1"})
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestClaimIsOneTransaction(t *testing.T) {
	c := cluster(t)
	a, sa := member(t, c, "a", 5*time.Second)
	b, sb := member(t, c, "b", 5*time.Second)
	old := read(t, sb)
	if !claim(t, a, sa) {
		t.Fatal("a free shard was not granted")
	}
	if claim(t, b, sb) {
		t.Error("an owned shard was granted")
	}
	st := read(t, sb)
	if st.Owner != "a" || st.OwnerLease != a.State().ID || st.Epoch != 1 || st.Lineage != "lineage-1" || st.EpochRevision == 0 {
		t.Errorf("standing %+v", st)
	}
	if err := sa.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	late := shard.Bid{Node: "b", Lease: b.State().ID, Epoch: 1, EpochRevision: old.EpochRevision, Lineage: "lineage-1"}
	if ok, err := sb.Claim(t.Context(), late); ok || err != nil {
		t.Errorf("a bid on an epoch that has passed: %v, %v", ok, err)
	}
	if !claim(t, b, sb) || read(t, sb).Epoch != 2 {
		t.Errorf("after the release: %+v", read(t, sb))
	}
}

func TestOfManyRacersOneOwnsAtATime(t *testing.T) {
	c := cluster(t)
	const racers = 8
	var mu sync.Mutex
	var wg sync.WaitGroup
	owner, grants := "", 0
	epochs := map[persistence.Epoch]bool{}
	for i := range racers {
		n, s := member(t, c, string(rune('a'+i)), 5*time.Second)
		wg.Go(func() {
			for round := 0; round < 20; round++ {
				st, err := s.Read(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				bid := shard.Bid{Node: n.ID(), Lease: n.State().ID, Epoch: st.Epoch + 1, EpochRevision: st.EpochRevision, Lineage: "lineage-1"}
				ok, err := s.Claim(t.Context(), bid)
				if err != nil {
					t.Error(err)
					return
				}
				if !ok {
					continue
				}
				mu.Lock()
				if owner != "" || epochs[bid.Epoch] {
					t.Errorf("%s was granted epoch %d while %q owned", n.ID(), bid.Epoch, owner)
				}
				owner, epochs[bid.Epoch] = n.ID(), true
				grants++
				mu.Unlock()
				if st, err := s.Read(t.Context()); err != nil || st.Owner != n.ID() || st.Epoch != bid.Epoch {
					t.Errorf("%s was granted epoch %d and then read %+v, %v", n.ID(), bid.Epoch, st, err)
				}
				mu.Lock()
				owner = ""
				mu.Unlock()
				if err := s.Release(t.Context(), bid.Epoch, true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if grants < racers {
		t.Errorf("%d grants", grants)
	}
}

// TestAwaitOutlivesARestoredEtcd restores etcd from a backup while a node waits for another one to end. The revision
// from which it watches then lies in the future: formerly it never saw an event again.
func TestAwaitOutlivesARestoredEtcd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := StartServer(t.Context(), ServerConfig{Dir: dir, Development: true})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(s.Addr(), ":")
	number, _ := strconv.Atoi(port)
	c, err := Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	a, sa := member(t, c, "a", time.Minute)
	if !claim(t, a, sa) {
		t.Fatal("a free shard was not granted")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if s, err = StartServer(t.Context(), ServerConfig{Dir: dir, Port: number, Development: true}); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := c.Put(t.Context(), "/wind/test/x", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	sb, err := Look(c, "test", "main")
	if err != nil {
		t.Fatal(err)
	}
	st := read(t, sb)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = StartServer(t.Context(), ServerConfig{Dir: backup, Port: number, Development: true}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- sb.Await(t.Context(), st) }()
	if err := sa.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Logf("the wait ends with: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("Await still waits for an owner that has left")
	}
	if now := read(t, sb); now.Owner != "" || now.Revision >= st.Revision {
		t.Errorf("the test restored no backup: %+v", now)
	}
}

func TestAwaitReturnsWhenTheOwnerIsGone(t *testing.T) {
	c := cluster(t)
	a, sa := member(t, c, "a", 5*time.Second)
	_, sb := member(t, c, "b", 5*time.Second)
	claim(t, a, sa)
	st := read(t, sb)
	done := make(chan error, 1)
	go func() { done <- sb.Await(t.Context(), st) }()
	if err := sa.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: 5, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("a high-water mark is no departure: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := sa.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Await returns at once if the owner is already gone.
	if err := sb.Await(t.Context(), st); err != nil {
		t.Error(err)
	}
}

func TestOwnerKeyGoesWithTheLease(t *testing.T) {
	c := cluster(t)
	a, sa := member(t, c, "a", 5*time.Second)
	_, sb := member(t, c, "b", 5*time.Second)
	claim(t, a, sa)
	first := a.State()
	renewed, last, start := 0, first.Sent, time.Now()
	for ; renewed < 3; time.Sleep(10 * time.Millisecond) {
		if sent := a.State().Sent; sent.After(last) {
			renewed, last = renewed+1, sent
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("the lease was not kept alive: %+v, %+v", first, a.State())
		}
	}
	if read(t, sb).Owner != "a" || a.State().ID != first.ID {
		t.Fatalf("the lease was renewed but lost: %+v, %+v", first, a.State())
	}
	a.cancel() // as if the process had been killed
	a.done.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sb.Await(ctx, read(t, sb)); err != nil || read(t, sb).Owner != "" {
		t.Errorf("the owner key outlived a TTL of %s: %v", first.TTL, err)
	}
}

func TestTakeOverDeletesOnlyTheKeyThatWasSeen(t *testing.T) {
	c := cluster(t)
	a, sa := member(t, c, "a", 5*time.Second)
	b, sb := member(t, c, "b", 5*time.Second)
	claim(t, a, sa)
	seen := read(t, sb)
	if err := sa.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	claim(t, a, sa)
	if ok, err := sb.TakeOver(t.Context(), seen); ok || err != nil {
		t.Errorf("TakeOver deleted a key that it had not seen: %v, %v", ok, err)
	}
	if ok, err := sb.TakeOver(t.Context(), read(t, sb)); !ok || err != nil {
		t.Errorf("the key that was seen was not deleted: %v, %v", ok, err)
	}
	if !claim(t, b, sb) {
		t.Error("the shard is not free")
	}
	if err := sa.Release(t.Context(), 2, true); err != nil || read(t, sb).Owner != "b" {
		t.Errorf("the old owner's release took the new owner's key: %v", err)
	}
}

func TestHighWaterMarkNeverGoesBack(t *testing.T) {
	c := cluster(t)
	_, s := member(t, c, "a", 5*time.Second)
	for _, step := range []struct {
		note   persistence.Mark
		want   persistence.Mark
		fenced bool
	}{
		{persistence.Mark{Seq: 10, Epoch: 1}, persistence.Mark{Seq: 10, Epoch: 1}, false},
		{persistence.Mark{Seq: 9, Epoch: 1}, persistence.Mark{Seq: 10, Epoch: 1}, false},
		{persistence.Mark{Seq: 11, Epoch: 2}, persistence.Mark{Seq: 11, Epoch: 2}, false},
		{persistence.Mark{Seq: 99, Epoch: 1}, persistence.Mark{Seq: 11, Epoch: 2}, true},
		{persistence.Mark{Seq: 3, Epoch: 3}, persistence.Mark{Seq: 3, Epoch: 3}, false}, // after an accepted loss
	} {
		err := s.Note(t.Context(), shard.Note{High: step.note})
		if errors.Is(err, shard.ErrFenced) != step.fenced || err != nil && !step.fenced {
			t.Errorf("note %+v: %v", step.note, err)
		}
		if got := read(t, s).High; got != step.want {
			t.Errorf("after %+v the mark is %+v, want %+v", step.note, got, step.want)
		}
	}
}

func TestHaltedShardIsNotClaimedUntilLifted(t *testing.T) {
	c := cluster(t)
	a, s := member(t, c, "a", 5*time.Second)
	if err := s.Note(t.Context(), shard.Note{Attempt: shard.Attempt{Tick: 7, Count: 1, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	for _, other := range []persistence.Epoch{0, 2} {
		if err := s.Note(t.Context(), shard.Note{Lived: other}); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s).Attempt; got.Tick != 7 || got.Count != 1 {
		t.Errorf("attempt %+v", got)
	}
	if err := s.Note(t.Context(), shard.Note{Lived: 1}); err != nil || read(t, s).Attempt.Tick != 0 {
		t.Errorf("the attempt of a surviving process still exists: %v", err)
	}
	if err := s.Note(t.Context(), shard.Note{Attempt: shard.Attempt{Tick: 7, Count: 2, Epoch: 2}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Note(t.Context(), shard.Note{Halted: "history lost"}); err != nil {
		t.Fatal(err)
	}
	if st := read(t, s); st.Halted != "history lost" || st.Attempt.Tick != 0 || claim(t, a, s) {
		t.Errorf("halted: %+v", st)
	}
	for _, last := range []persistence.Seq{20, 20, 30} { // repeated after a lost answer, and a later second loss
		if _, err := s.AcceptLoss(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	want := []persistence.Mark{{Seq: 20}, {Seq: 30}}
	if st := read(t, s); st.Halted != "" || !slices.Equal(st.Accepted, want) || !claim(t, a, s) {
		t.Errorf("accepted: %+v", st)
	}
	if _, err := s.AcceptLoss(t.Context(), 20); err == nil {
		t.Error("the loss of an owned shard was accepted")
	}
}

func TestAllAgreeOnOneLineage(t *testing.T) {
	c := cluster(t)
	var wg sync.WaitGroup
	answers := make([]string, 6)
	for i := range answers {
		s, err := Look(c, "test", "main")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			answers[i], err = s.AgreeLineage(t.Context(), "lineage-"+string(rune('a'+i)))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || a == "" {
			t.Fatalf("answers %v", answers)
		}
	}
}

// TestALineageThatStandsIsOnlyRead: each claim asks for it, and a node takes over hundreds of rooms at once.
func TestALineageThatStandsIsOnlyRead(t *testing.T) {
	c := cluster(t)
	_, s := member(t, c, "a", time.Minute)
	proposals := func() uint64 {
		t.Helper()
		st, err := c.Status(t.Context(), c.Endpoints()[0])
		if err != nil {
			t.Fatal(err)
		}
		return st.RaftIndex
	}
	var before uint64
	for i := range 40 {
		if lineage, err := s.AgreeLineage(t.Context(), fmt.Sprint("lineage-", i)); err != nil || lineage != "lineage-0" {
			t.Fatal(lineage, err)
		}
		if i == 0 {
			before = proposals()
		}
	}
	if took := proposals() - before; took > 10 {
		t.Errorf("40 looks at a lineage were %d writes", took)
	}
}

func TestKeysExplainThemselves(t *testing.T) {
	c := cluster(t)
	a, s := member(t, c, "a", 5*time.Second)
	claim(t, a, s)
	if _, _, err := CreateRoom(t.Context(), c, "test", "main", room.Spec{Game: "arena"}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), "/wind/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, kv := range got.Kvs {
		text.WriteString(string(kv.Key) + " " + string(kv.Value) + "\n")
	}
	for _, want := range []string{
		`/wind/test/nodes/a {"node":"a","host":`, `"addresses":{"udp":"127.0.0.1:7777"}`, `/wind/test/shards/main/owner {"node":"a","epoch":1,`,
		`/wind/test/shards/main/epoch {"epoch":1,"node":"a"`, `/wind/test/shards/main/lineage {"lineage":"lineage-1"`, `/wind/test/shards/main/spec {"game":"arena",`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
	nodes, err := Nodes(t.Context(), c, "test")
	if err != nil || len(nodes) != 1 || nodes[0].Node != "a" || nodes[0].Addresses["udp"] != "127.0.0.1:7777" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestSecondServerOnOneDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := StartServer(t.Context(), ServerConfig{Dir: dir, Development: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := StartServer(t.Context(), ServerConfig{Dir: dir, Development: true}); !errors.Is(err, ErrDirInUse) {
		t.Errorf("a second server: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = StartServer(t.Context(), ServerConfig{Dir: dir, Development: true})
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Port: port, Development: true}); !errors.Is(err, ErrPortTaken) {
		t.Errorf("port %d is taken: %v", port, err)
	}
}

func TestUnreachableServerIsSaidInBoundedTime(t *testing.T) {
	start := time.Now()
	if _, err := Dial(t.Context(), "127.0.0.1:1"); err == nil {
		t.Fatal("nobody answers at port 1")
	}
	if time.Since(start) > 20*time.Second {
		t.Errorf("it took %s", time.Since(start))
	}
}

func TestStandingSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		s, err := StartServer(t.Context(), ServerConfig{Dir: dir, Development: true})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(t.Context(), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		sh, err := n.Shard("main")
		if err != nil {
			t.Fatal(err)
		}
		if st := read(t, sh); st.Epoch != persistence.Epoch(round) {
			t.Errorf("round %d: %+v", round, st)
		}
		claim(t, n, sh)
		if err := errors.Join(n.Close(t.Context()), c.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
