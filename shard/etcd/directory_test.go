package etcd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard/discovery"
)

// eventually waits for a condition for as long as a slow machine may need.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("this never happened: %s", what)
		}
	}
}

// logbook is a log that a test can read.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) has(text string) bool { return l.count(text) > 0 }

func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// follow opens the directory of the cluster "test".
func follow(t *testing.T, c *clientv3.Client, log *slog.Logger) *discovery.Directory {
	t.Helper()
	source, err := Services(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	d, err := discovery.Follow(t.Context(), source, log)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func watchServices(t *testing.T, c *clientv3.Client) *discovery.Directory {
	t.Helper()
	d := follow(t, c, nil)
	t.Cleanup(d.Close)
	return d
}

func register(t *testing.T, n *Node, i discovery.Instance) *Registration {
	t.Helper()
	r, err := n.Register(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDirectoryFollowsWhatIsRegistered(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	early := register(t, n, discovery.Instance{Type: "game", ID: "game-2", Capacity: 10})
	d := watchServices(t, c)
	var mu sync.Mutex
	var seen []string
	cancel := d.Watch(func(ch discovery.Change) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(ch.Kind, " ", ch.Instance.ID, " ", ch.Instance.State, " ", ch.Instance.Players))
	})
	late := register(t, n, discovery.Instance{
		Type: "game", ID: "game-1", Selector: "bin-pack", Formats: []string{"json"}, Language: "python",
		Methods: []discovery.Method{{Name: "SpeakOnWorldRequest", ID: 1005, Answer: 1006}}, Addresses: map[string]string{"tcp": "127.0.0.1:1"},
	})
	gate := register(t, n, discovery.Instance{Type: "gateway", ID: "gw"})
	eventually(t, "three are there", func() bool { return d.Alive("game", "game-1") && d.Alive("gateway", "gw") })
	if got := fmt.Sprint(d.Types()); got != "[game gateway]" {
		t.Errorf("types %s", got)
	}
	all := d.Instances("game")
	if len(all) != 2 || all[0].ID != "game-1" || all[1].ID != "game-2" {
		t.Fatalf("instances %+v", all)
	}
	if one := all[0]; one.Methods[0].ID != 1005 || one.Formats[0] != "json" || one.Addresses["tcp"] != "127.0.0.1:1" || one.Language != "python" || one.Node != "a" || one.State != discovery.Up {
		t.Errorf("instance %+v", one)
	}
	for _, want := range []struct {
		id, format string
		takes      bool
	}{
		{"game-1", discovery.FormatJSON, true},
		{"game-1", discovery.FormatProtobuf, false},
		{"game-2", discovery.FormatProtobuf, true},
		{"", discovery.FormatJSON, true},
		{"", discovery.FormatProtobuf, false},
		{"game-3", discovery.FormatProtobuf, true},
	} {
		if d.Takes("game", want.id, want.format) != want.takes {
			t.Errorf("game %q takes %s: %v, want %v", want.id, want.format, !want.takes, want.takes)
		}
	}
	if !d.Takes("gateway", "gw", discovery.FormatProtobuf) || !d.Takes("nobody", "", discovery.FormatProtobuf) {
		t.Error("an instance that names no formats must accept all")
	}
	early.Update(func(i *discovery.Instance) { i.Players = 7 })
	eventually(t, "a report", func() bool { i, ok := d.Instance("game", "game-2"); return ok && i.Players == 7 })
	early.Update(func(i *discovery.Instance) { i.State = discovery.Draining })
	eventually(t, "draining", func() bool { i, ok := d.Instance("game", "game-2"); return ok && i.State == discovery.Draining })
	for k := range 50 {
		if id, ok := d.Pick("game", strconv.Itoa(k)); !ok || id != "game-1" {
			t.Fatalf("picked %q, %v while game-2 is draining", id, ok)
		}
	}
	if !d.Alive("game", "game-2") || d.Alive("game", "game-3") || d.Alive("no", "game-2") {
		t.Error("only game-1 and game-2 are alive")
	}
	if err := errors.Join(late.Close(), late.Close(), gate.Close()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they left", func() bool { return !d.Alive("game", "game-1") && len(d.Types()) == 1 })
	if id, ok := d.Pick("game", "x"); ok {
		t.Errorf("picked %s, and all are draining", id)
	}
	cancel()
	mu.Lock()
	defer mu.Unlock()
	want := "joined game-1 up 0|joined gw up 0|changed game-2 up 7|changed game-2 draining 7|left game-1 up 0|left gw up 0"
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("watched %s\nwant    %s", got, want)
	}
}

func TestSelectorIsThatOfTheLastRegistered(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	now := time.Now()
	register(t, n, discovery.Instance{Type: "game", ID: "a", Since: now.Add(time.Second), Selector: "consistent-hash", Players: 500})
	register(t, n, discovery.Instance{Type: "game", ID: "b", Since: now, Selector: "least"})
	register(t, n, discovery.Instance{Type: "game", ID: "c", Since: now.Add(time.Minute)}) // names no selector
	d := watchServices(t, c)
	want := []string{"a", "b", "c"}[discovery.ConsistentHash.Pick([]discovery.Candidate{{ID: "a"}, {ID: "b"}, {ID: "c"}}, "alice", 0)]
	for range 20 {
		if id, _ := d.Pick("game", "alice"); id != want {
			t.Fatalf("alice went to %s, by consistent hash it is %s", id, want)
		}
	}
	d.SetSelector("game", discovery.SelectorFunc(func(c []discovery.Candidate, _ string, _ uint64) int { return len(c) - 1 }))
	if id, _ := d.Pick("game", "alice"); id != "c" {
		t.Errorf("with a custom selector: %s", id)
	}
	register(t, n, discovery.Instance{Type: "game", ID: "d"})
	eventually(t, "d is the last", func() bool { id, _ := d.Pick("game", "alice"); return id == "d" })
	d.SetSelector("game", nil)
	want = []string{"a", "b", "c", "d"}[discovery.ConsistentHash.Pick([]discovery.Candidate{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}}, "bob", 0)]
	for range 20 {
		if id, _ := d.Pick("game", "bob"); id != want {
			t.Errorf("the selector was taken back, and bob went to %s, not %s", id, want)
		}
	}
}

// TestJoinAndLeaveUnderLoad picks from eight goroutines while instances come and go. No pick fails, and none returns an
// instance whose departure the directory had seen before the pick began.
func TestJoinAndLeaveUnderLoad(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	register(t, n, discovery.Instance{Type: "game", ID: "steady", Selector: "random"})
	d := watchServices(t, c)
	var gone sync.Map // ids that have left
	d.Watch(func(ch discovery.Change) {
		if ch.Kind == discovery.Left {
			gone.Store(ch.Instance.ID, true)
		}
	})
	var wg sync.WaitGroup
	var stop atomic.Bool
	var mu sync.Mutex
	took, newest := map[string]int{}, ""
	for g := range 8 {
		wg.Go(func() {
			for k := 0; !stop.Load(); k++ {
				var left []string
				gone.Range(func(id, _ any) bool { left = append(left, id.(string)); return true })
				id, ok := d.Pick("game", fmt.Sprint(g, "-", k))
				if !ok {
					t.Error("a pick failed")
					return
				}
				for _, l := range left {
					if l == id {
						t.Errorf("%s was picked after it left", id)
					}
				}
				mu.Lock()
				took[id]++
				mu.Unlock()
				if k%16 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for round := range 12 {
		newest = fmt.Sprint("guest-", round)
		r := register(t, n, discovery.Instance{Type: "game", ID: newest})
		eventually(t, newest+" gets players", func() bool { mu.Lock(); defer mu.Unlock(); return took[newest] > 20 })
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		eventually(t, newest+" is gone", func() bool { return !d.Alive("game", newest) })
	}
	stop.Store(true)
	wg.Wait()
	if took["steady"] < 100 {
		t.Errorf("the steady one got %d", took["steady"])
	}
}

func TestRegistrationSurvivesALostLease(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 2*time.Second)
	r := register(t, n, discovery.Instance{Type: "game", ID: "game-1"})
	since := r.Instance().Since
	d := watchServices(t, c)
	var left, joined atomic.Int32
	d.Watch(func(ch discovery.Change) {
		switch ch.Kind {
		case discovery.Left:
			left.Add(1)
		case discovery.Joined:
			joined.Add(1)
		}
	})
	eventually(t, "Register's own token is taken", func() bool { return len(r.wake) == 0 })
	first := n.State().ID
	if _, err := c.Revoke(t.Context(), clientv3.LeaseID(first)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it left and came back", func() bool { return left.Load() == 1 && joined.Load() == 1 && d.Alive("game", "game-1") })
	got, err := c.Get(t.Context(), servicesPrefix("test")+"game/game-1")
	if err != nil || len(got.Kvs) != 1 || got.Kvs[0].Lease == first || got.Kvs[0].Lease != n.State().ID {
		t.Fatalf("key %+v, %v with lease %d, first %d", got, err, n.State().ID, first)
	}
	if i, _ := d.Instance("game", "game-1"); !i.Since.Equal(since) {
		t.Errorf("registered since %s, want %s", i.Since, since)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it left", func() bool { return !d.Alive("game", "game-1") })
}

func TestUpdatesAreWrittenSeldomAndTheLastWins(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	r := register(t, n, discovery.Instance{Type: "game", ID: "game-1"})
	key, start := servicesPrefix("test")+"game/game-1", time.Now()
	for k := range 1000 {
		r.Update(func(i *discovery.Instance) { i.Players = k + 1; i.ID = "other"; i.Load = 7 })
		time.Sleep(100 * time.Microsecond)
	}
	var got *clientv3.GetResponse
	var err error
	eventually(t, "the last state", func() bool {
		got, err = c.Get(t.Context(), key)
		return err == nil && len(got.Kvs) == 1 && strings.Contains(string(got.Kvs[0].Value), `"players":1000,`)
	})
	if most := int64(time.Since(start)/reportEvery) + 2; got.Kvs[0].Version > most {
		t.Errorf("%d writes within %s", got.Kvs[0].Version, time.Since(start))
	}
	if i := r.Instance(); i.ID != "game-1" || i.Load != 1 {
		t.Errorf("instance %+v", i)
	}
	version := got.Kvs[0].Version
	r.Update(func(i *discovery.Instance) { i.Players = 1000 }) // unchanged
	r.Update(func(*discovery.Instance) {})
	eventually(t, "the token is taken", func() bool { return len(r.wake) == 0 })
	r.Update(func(i *discovery.Instance) { i.Capacity = 3 })
	eventually(t, "the capacity is written", func() bool {
		got, err = c.Get(t.Context(), key)
		return err == nil && strings.Contains(string(got.Kvs[0].Value), `"capacity":3,`)
	})
	if got.Kvs[0].Version != version+1 {
		t.Errorf("version %d after one change, want %d", got.Kvs[0].Version, version+1)
	}
}

func TestATakenIDIsRefused(t *testing.T) {
	c := cluster(t)
	a, _ := member(t, c, "a", 2*time.Second)
	b, _ := member(t, c, "b", 2*time.Second)
	old := register(t, a, discovery.Instance{Type: "game", ID: "game-1"})
	_, err := b.Register(t.Context(), discovery.Instance{Type: "game", ID: "game-1"})
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "on node a") {
		t.Fatalf("registered twice: %v", err)
	}
	if err := a.Vacant(t.Context(), "game", "game-1"); err != nil {
		t.Errorf("the id is taken by its own node: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Vacant(stopped, "game", "game-1"); err == nil || errors.Is(err, ErrTaken) {
		t.Errorf("an abandoned wait: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	register(t, b, discovery.Instance{Type: "game", ID: "game-1"})
}

// Registration waits for an instance that died, for as long as its lease lasts.
func TestTheIDOfADeadInstanceIsFreeSoon(t *testing.T) {
	c := cluster(t)
	lease, err := c.Grant(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	key := servicesPrefix("test") + "game/game-1"
	if _, err := c.Put(t.Context(), key, `{"type":"game"}`, clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	n, _ := member(t, c, "a", 2*time.Second)
	r := register(t, n, discovery.Instance{Type: "game", ID: "game-1"})
	if got, err := c.Get(t.Context(), key); err != nil || got.Kvs[0].Lease != n.State().ID {
		t.Errorf("key %+v, %v", got, err)
	}
	select {
	case <-r.Taken():
		t.Error("Taken is closed")
	default:
	}
	if _, err := c.Put(t.Context(), servicesPrefix("test")+"game/game-2", "by hand, without a lease"); err != nil {
		t.Fatal(err)
	}
	register(t, n, discovery.Instance{Type: "game", ID: "game-2"})
}

func TestOneThatLostItsIDIsTold(t *testing.T) {
	c := cluster(t)
	a, _ := member(t, c, "a", 2*time.Second)
	r := register(t, a, discovery.Instance{Type: "game", ID: "game-1"})
	eventually(t, "Register's own token is taken", func() bool { return len(r.wake) == 0 })
	other, err := c.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	key := servicesPrefix("test") + "game/game-1"
	if _, err := c.Put(t.Context(), key, `{"node":"b"}`, clientv3.WithLease(other.ID)); err != nil {
		t.Fatal(err)
	}
	r.Update(func(i *discovery.Instance) { i.Players = 3 })
	eventually(t, "it is told", func() bool {
		select {
		case <-r.Taken():
			return true
		default:
			return false
		}
	})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), key); err != nil || len(got.Kvs) != 1 || got.Kvs[0].Lease != int64(other.ID) {
		t.Errorf("the key of the other: %+v, %v", got, err)
	}
}

func TestAnHeirRemovesWhatTheNodeBeforeLeft(t *testing.T) {
	c := cluster(t)
	join := func(id string) *Node {
		t.Helper()
		n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: id, TTL: time.Minute, Heir: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		return n
	}
	first := join("a")
	register(t, first, discovery.Instance{Type: "game", ID: "game-a"}).cancel()
	first.cancel() // it is killed
	first.done.Wait()
	join("b")
	got, err := c.Get(t.Context(), "/wind/test/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, kv := range got.Kvs {
		keys = append(keys, string(kv.Key))
	}
	if fmt.Sprint(keys) != "[/wind/test/node-lease /wind/test/nodes/b]" {
		t.Errorf("there are %s", keys)
	}
}

func TestALockIsOnesAlone(t *testing.T) {
	c := cluster(t)
	var inside, most, total atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				unlock, err := Lock(t.Context(), c, "test", "reload-game")
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				total.Add(1)
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 || total.Load() != 20 {
		t.Errorf("%d had the lock at once, %d in all", most.Load(), total.Load())
	}
	unlock, err := Lock(t.Context(), c, "test", "reload-game")
	if err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Lock(waiting, c, "test", "reload-game"); err == nil {
		t.Error("two have the lock")
	}
	unlock()
	if got, err := c.Get(t.Context(), "/wind/test/locks/", clientv3.WithPrefix()); err != nil || len(got.Kvs) != 0 {
		t.Errorf("left behind: %+v, %v", got, err)
	}
}

func TestWhatIsNoInstanceIsRefused(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	for _, i := range []discovery.Instance{
		{},
		{Type: "game"},
		{Type: "Game", ID: "a"},
		{Type: "game", ID: "a/b"},
		{Type: "game", ID: strings.Repeat("x", 61)},
		{Type: "game", ID: "a", Selector: "fair"},
		{Type: "game", ID: "a", State: "gone"},
	} {
		if r, err := n.Register(t.Context(), i); err == nil {
			t.Errorf("%+v was registered", i)
			_ = r.Close()
		}
	}
	// The directory does not trust what others write.
	register(t, n, discovery.Instance{Type: "game", ID: "good"})
	book := &logbook{}
	d := follow(t, c, book.logger())
	defer d.Close()
	p := servicesPrefix("test")
	for key, value := range map[string]string{
		p + "game/broken": "{", p + "game/text": `"x"`, p + "game": "{}", p + "game/a/b": "{}", p + "/x": "{}", p + "game/fair": `{"selector":"fair"}`,
		p + "game/gone": `{"state":"gone"}`, p + "game/good": "[]", p + "game/poor": `{"players":-5,"capacity":-1,"load":99,"type":"other","id":"x"}`,
	} {
		if _, err := c.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the last is there", func() bool {
		return d.Alive("game", "poor") && book.has("game/broken") && book.has("game/good") && book.has("a/b")
	})
	if all := d.Instances("game"); len(all) != 2 || all[0].ID != "good" || all[1].ID != "poor" || all[1].Players != 0 || all[1].Load != 1 || len(d.Types()) != 1 {
		t.Errorf("instances %+v of %v", all, d.Types())
	}
}

// TestOtherLanguagesReachTheServer puts a key through etcd's JSON gateway, on a port chosen by StartServer.
func TestOtherLanguagesReachTheServer(t *testing.T) {
	c := cluster(t)
	body := `{"key":"` + base64.StdEncoding.EncodeToString([]byte("/x")) + `","value":"eA=="}`
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Post("http://"+c.Endpoints()[0]+"/v3/kv/put", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := c.Get(t.Context(), "/x"); err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "x" {
		t.Errorf("status %s, key %+v, %v", answer.Status, got, err)
	}
}
