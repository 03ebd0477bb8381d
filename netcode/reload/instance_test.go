package reload

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

// fleet is several instances of a service, with the real runtime, in one process.
type fleet struct {
	store Store
	all   map[string]*Instance
	run   map[string]*service.Service
}

// start adds an instance that comes with a number.
func (f *fleet) start(t *testing.T, id string, number int, insist bool) {
	t.Helper()
	i, err := Start(t.Context(), InstanceConfig{
		Type: "game", ID: id, Modules: numbered(number), Store: f.store, Insist: insist,
		Make: func(modules []script.Module) (Runtime, error) {
			s, err := service.New(service.Config{Type: "game", ID: id, Scripts: modules, Store: rpc.NewMemoryStore()})
			f.run[id] = s
			return s, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.all[id] = i
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { i.Follow(ctx) })
	t.Cleanup(func() {
		cancel()
		group.Wait()
		_ = f.run[id].Close(context.Background())
	})
}

func (f *fleet) admin(ctx context.Context, _, id, op string, body []byte) ([]byte, error) {
	return f.all[id].Handle(ctx, Op(op), body)
}

// reload reloads a number in some of them.
func (f *fleet) reload(t *testing.T, number int, ids ...string) (Result, error) {
	t.Helper()
	return Run(t.Context(), f.admin, Config{Type: "game", Instances: ids, Modules: numbered(number)})
}

func (f *fleet) want(t *testing.T, number int, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if got := f.run[id].Modules(); script.SHA256(got) != script.SHA256(numbered(number)) {
			t.Errorf("%s runs %s, want number %d", id, got[0].Source, number)
		}
	}
}

func numbered(n int) []script.Module {
	return []script.Module{{Name: "lib/number.star", Source: fmt.Appendf(nil, "NUMBER = %d\n", n)}}
}

func TestInstancesRunWhatIsReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{store: NewMemory(), all: map[string]*Instance{}, run: map[string]*service.Service{}}
		f.start(t, "a", 1, false)
		f.start(t, "b", 1, false)
		f.start(t, "other", 9, false)
		if r, err := f.reload(t, 2, "a", "b", "other"); err != nil || r.State != Committed || r.Instances[0].Report == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		f.want(t, 2, "a", "b", "other")
		f.start(t, "late", 1, false)
		f.want(t, 2, "late")

		if _, err := f.reload(t, 3, "a"); err != nil { // it reaches only this one
			t.Fatal(err)
		}
		synctest.Wait()
		f.want(t, 3, "a", "b", "late")
		f.want(t, 2, "other") // of another version

		f.start(t, "dev", 1, true) // its folder determines what it runs
		synctest.Wait()
		f.want(t, 1, "a", "b", "late", "dev")
		if r, err := f.reload(t, 5, "a", "b", "late", "dev", "other"); err != nil || r.State != Committed {
			t.Fatalf("%+v, %v", r, err)
		}
		f.want(t, 5, "a", "b", "late", "dev", "other")
	})
}

// ill is a store that a test can break.
type ill struct {
	*Memory
	mu       sync.Mutex
	get, put error
}

func (s *ill) breaks(get, put error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get, s.put = get, put
}

func (s *ill) now() (get, put error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get, s.put
}

func (s *ill) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if err, _ := s.now(); err != nil {
		return nil, 0, err
	}
	return s.Memory.Get(ctx, key)
}

// Put writes, but returns an error when the store is broken.
func (s *ill) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, bool, error) {
	next, ok, err := s.Memory.Put(ctx, key, value, revision)
	if _, broken := s.now(); broken != nil {
		return 0, false, broken
	}
	return next, ok, err
}

// TestNothingComesIntoForceThatIsNotKept: the first instance that starts would undo it.
func TestNothingComesIntoForceThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ill{Memory: NewMemory()}
		f := &fleet{store: store, all: map[string]*Instance{}, run: map[string]*service.Service{}}
		f.start(t, "a", 1, false)
		store.breaks(errBroken, nil)
		r, err := f.reload(t, 2, "a")
		if r.State != Refused || err == nil || !strings.Contains(err.Error(), "cannot read which scripts are in force: the store is broken") {
			t.Errorf("%+v, %v", r, err)
		}
		f.want(t, 1, "a")
		// A write whose answer is lost: its result is unknown until the store reports it.
		store.breaks(nil, errBroken)
		r, err = f.reload(t, 3, "a")
		if r.State == Refused || r.State == Committed && err != nil {
			t.Errorf("%+v, %v", r, err)
		}
		store.breaks(nil, nil)
		time.Sleep(lookEvery + time.Second)
		f.want(t, 3, "a")
		// A store that has lost everything is filled again.
		key := Key("game", numbered(1))
		_, revision, _ := store.Get(t.Context(), key)
		if ok, err := store.Delete(t.Context(), key, revision); !ok || err != nil {
			t.Fatal(ok, err)
		}
		time.Sleep(2 * lookEvery)
		f.start(t, "late", 1, false)
		f.want(t, 3, "late")
	})
}

// TestAbandonedReloadsDoNotStopFollowers: a runtime holds four prepared reloads, and following needs room, too.
func TestAbandonedReloadsDoNotStopFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{store: NewMemory(), all: map[string]*Instance{}, run: map[string]*service.Service{}}
		f.start(t, "a", 1, false)
		f.start(t, "b", 1, false)
		for n := range 4 { // their operators died
			step := Step{Op: OpPrepare, Reload: fmt.Sprint("abandoned ", n), Modules: numbered(7)}
			body, err := step.Body()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.all["a"].Handle(t.Context(), OpPrepare, body); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.reload(t, 2, "b"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.want(t, 2, "a", "b")
	})
}

// TestNothingOlderIsGoneBackTo: late reports of the watch change nothing, newer ones count.
func TestNothingOlderIsGoneBackTo(t *testing.T) {
	f := NewFollower("a", numbered(1))
	run := &simRuntime{instance: &simInstance{sim: &sim{}}, modules: numbered(1), prepared: map[string]simPrepared{}}
	f.Step(Event{Kind: EventStart})
	f.Step(Event{Kind: EventKept, Flow: 1})
	f.Step(Event{Kind: EventMade, Flow: 1, Runtime: run})
	for _, c := range []struct {
		told Entry
		want int
	}{
		{entryOf(2, "second", numbered(2)), 2},
		{entryOf(1, "first", numbered(5)), 2},
		{entryOf(3, "third", numbered(3)), 3},
		{entryOf(2, "second", numbered(2)), 3},
		{entryOf(3, "kept first", numbered(4)), 4},
		{Entry{}, 4},
	} {
		f.Step(Event{Kind: EventTold, Entry: c.told})
		if got := script.SHA256(run.modules); got != script.SHA256(numbered(c.want)) {
			t.Errorf("after generation %d (%s) it runs %s, want number %d", c.told.Generation, c.told.Reload, run.modules[0].Source, c.want)
		}
	}
}
