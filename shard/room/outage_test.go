package room

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ferris1/wind/shard/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a source in memory.
type shelf struct {
	mu       sync.Mutex
	entries  []discovery.Entry
	revision int64
	away     error
	lists    int
	feed     chan discovery.Changes // what a watch delivers
	broken   chan struct{}          // closed: the watch has broken
}

func newShelf(rooms int) *shelf {
	s := &shelf{feed: make(chan discovery.Changes), broken: make(chan struct{})}
	for i := range rooms {
		s.revision++
		s.entries = append(s.entries, discovery.Entry{Key: fmt.Sprintf("r-%04d/spec", i), Value: []byte(`{"game":"arena"}`), Revision: s.revision})
	}
	return s
}

func (s *shelf) String() string { return "a shelf" }

func (s *shelf) List(context.Context) ([]discovery.Entry, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	return s.entries, s.revision, s.away
}

func (s *shelf) Revision(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, s.away
}

func (s *shelf) Watch(ctx context.Context, _ int64, f func(discovery.Changes)) error {
	for {
		select {
		case c := <-s.feed:
			f(c)
		case <-s.broken:
			return errors.New("the watch broke")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read returns how often it was read.
func (s *shelf) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

func (s *shelf) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// warnings counts what is logged.
type warnings struct {
	slog.Handler
	n atomic.Int64
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.n.Add(1)
	}
	return nil
}

func follow(t *testing.T, s *shelf, changed func(*Room, string)) (*Registry, *warnings) {
	t.Helper()
	w := &warnings{Handler: slog.DiscardHandler}
	r, err := Follow(t.Context(), s, changed, slog.New(w))
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// TestAnOutageIsToldOnce, and the source is not asked ten times per second while it lasts.
func TestAnOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(3)
		r, told := follow(t, s, nil)
		defer r.Close()
		time.Sleep(time.Hour)
		s.set(func() { s.away = errors.New("nobody answers") })
		close(s.broken)
		time.Sleep(time.Minute)
		if told.n.Load() != 1 || s.read() > 1+40 {
			t.Errorf("in a minute the source was read %d times, and the outage told %d times", s.read()-1, told.n.Load())
		}
		if all, _ := r.Changes(0); len(all) != 3 {
			t.Error("the last state is forgotten")
		}
		s.set(func() { s.away, s.broken = nil, make(chan struct{}) })
		before := s.read()
		time.Sleep(time.Minute)
		if s.read() != before+1 {
			t.Errorf("after the outage the source was read %d times", s.read()-before)
		}
	})
}

// TestASourceThatWasRestoredIsReadAgain: its revision has gone back, so that its watch would stay silent.
func TestASourceThatWasRestoredIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(10)
		r, _ := follow(t, s, nil)
		defer r.Close()
		time.Sleep(time.Minute)
		s.set(func() { s.entries, s.revision = s.entries[:4], 4 })
		time.Sleep(time.Minute)
		if all, _ := r.Changes(0); len(all) != 4 {
			t.Errorf("there are 4 rooms, and the registry has %d", len(all))
		}
	})
}
