package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/shard/discovery"
)

// lateWatch is a source whose watch begins on request.
type lateWatch struct {
	discovery.Source
	begin chan struct{}
}

func (l *lateWatch) Watch(ctx context.Context, revision int64, f func(discovery.Changes)) error {
	select {
	case <-l.begin:
	case <-ctx.Done():
		return ctx.Err()
	}
	return l.Source.Watch(ctx, revision, f)
}

// askedSource is a source that says when it is asked for its revision, and then asks no sooner than its caller gives up.
type askedSource struct {
	discovery.Source
	asked chan struct{}
	once  sync.Once
}

func (s *askedSource) Revision(ctx context.Context) (int64, error) {
	s.once.Do(func() { close(s.asked) })
	<-ctx.Done()
	return s.Source.Revision(ctx)
}

// TestACloseIsNotAnOutage closes a directory while it asks whether its source answers, as a verb that ends does.
func TestACloseIsNotAnOutage(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	source, err := Services(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	book := &logbook{}
	var all []*discovery.Directory
	var sources []*askedSource
	for range 8 { // whether one hears the answer before it ends is chance
		asked := &askedSource{Source: source, asked: make(chan struct{})}
		d, err := discovery.Follow(t.Context(), asked, book.logger())
		if err != nil {
			t.Fatal(err)
		}
		all, sources = append(all, d), append(sources, asked)
	}
	for i, s := range sources {
		<-s.asked
		all[i].Close()
	}
	if book.has("does not answer") {
		t.Errorf("the log says %s", &book.text)
	}
}

// TestWatchReadsAnewBehindACompaction starts at a revision that etcd no longer has.
func TestWatchReadsAnewBehindACompaction(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	gone := register(t, n, discovery.Instance{Type: "game", ID: "gone"})
	stays := register(t, n, discovery.Instance{Type: "game", ID: "stays"})
	source, err := Services(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	late := &lateWatch{Source: source, begin: make(chan struct{})}
	d, err := discovery.Follow(t.Context(), late, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var mu sync.Mutex
	var seen []string
	d.Watch(func(ch discovery.Change) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(ch.Kind, ch.Instance.ID))
	})
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	register(t, n, discovery.Instance{Type: "game", ID: "new"})
	got, err := c.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compact(t.Context(), got.Header.Revision); err != nil {
		t.Fatal(err)
	}
	close(late.begin)
	eventually(t, "what is there now", func() bool { return d.Alive("game", "new") && !d.Alive("game", "gone") && d.Alive("game", "stays") })
	stays.Update(func(i *discovery.Instance) { i.Players = 3 })
	eventually(t, "and it follows", func() bool { i, _ := d.Instance("game", "stays"); return i.Players == 3 })
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(seen); got != "[joinednew leftgone changedstays]" {
		t.Errorf("watched %s", got)
	}
}

// TestDirectoryOutlivesEtcd restarts etcd on its port, with its data and without.
func TestDirectoryOutlivesEtcd(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint("data kept ", kept), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			dir := t.TempDir()
			s, err := StartServer(t.Context(), ServerConfig{Dir: dir, Development: true})
			if err != nil {
				t.Fatal(err)
			}
			c, err := Dial(t.Context(), s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			n, err := Join(t.Context(), c, NodeConfig{Cluster: "test", ID: "a", TTL: 15 * time.Second, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}) // longer than the restart takes
			if err != nil {
				t.Fatal(err)
			}
			r := register(t, n, discovery.Instance{Type: "game", ID: "game-1"})
			book := &logbook{}
			d := follow(t, c, book.logger())
			defer d.Close()
			_, port, _ := strings.Cut(s.Addr(), ":")
			number, _ := strconv.Atoi(port)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			r.Update(func(i *discovery.Instance) { i.Players = 5 })
			eventually(t, "it says that the directory does not answer", func() bool { return book.has("does not answer") })
			for k := range 10 {
				if id, ok := d.Pick("game", strconv.Itoa(k)); !ok || id != "game-1" {
					t.Fatalf("while etcd is away: %q, %v", id, ok)
				}
			}
			if !kept {
				dir = t.TempDir()
			}
			if s, err = StartServer(t.Context(), ServerConfig{Dir: dir, Port: number, Development: true}); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			eventually(t, "the report arrives", func() bool { i, ok := d.Instance("game", "game-1"); return ok && i.Players == 5 })
			eventually(t, "it says so", func() bool { return book.has("answers again") })
			register(t, n, discovery.Instance{Type: "game", ID: "game-2"})
			eventually(t, "it follows", func() bool { return d.Alive("game", "game-2") })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := n.Close(ctx); err != nil {
				t.Error(err)
			}
			eventually(t, "all have left with the lease", func() bool { return len(d.Types()) == 0 })
		})
	}
}
