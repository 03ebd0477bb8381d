package folder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/systems/script"
)

// watch runs a watcher and returns a function that waits until something is applied.
func watch(t *testing.T, dir string) (want func(string)) {
	t.Helper()
	applied := make(chan string, 100)
	f, err := Watch(Config{Dir: dir, Apply: func(_ context.Context, folder string, modules []script.Module) (string, error) {
		s := folder
		for _, m := range modules {
			s += fmt.Sprintf(" %s=%s", m.Name, m.Source)
		}
		applied <- s
		return "", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() { f.Run(context.Background()) })
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	})
	return func(want string) {
		t.Helper()
		for late := time.After(time.Minute); ; {
			select {
			case got := <-applied:
				if got == want {
					return
				}
				t.Logf("applied %q, before %q", got, want)
			case <-late:
				t.Fatalf("%q was never applied", want)
			}
		}
	}
}

// TestScriptsAreReloadedThroughLinks changes scripts twice behind every kind of link.
func TestScriptsAreReloadedThroughLinks(t *testing.T) {
	for name, kind := range linkKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // mostly waits
			dir, change := kind(t)
			want := watch(t, dir)
			want("game handlers_client/x.star=1")
			for n := 2; n < 4; n++ {
				change(n)
				want(fmt.Sprintf("game handlers_client/x.star=%d", n))
			}
		})
	}
}

// TestLinksThatLeadBack checks that the walk ends and that changes beside such links are still read.
func TestLinksThatLeadBack(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "game/x.star"), 1)
	link(t, "..", filepath.Join(dir, "shard"))
	link(t, "shard", filepath.Join(dir, "self"))
	link(t, "ring", filepath.Join(dir, "ring"))
	link(t, "nowhere", filepath.Join(dir, "lost"))
	want := watch(t, dir)
	want("game x.star=1")
	write(t, filepath.Join(dir, "game/x.star"), 2)
	want("game x.star=2")
}

// TestNoiseBesideALinkChangesNothing: other files in the folder that a link leads to may change all the time.
func TestNoiseBesideALinkChangesNothing(t *testing.T) {
	dir, busy := t.TempDir(), t.TempDir()
	write(t, filepath.Join(busy, "x"), 1)
	link(t, filepath.Join(busy, "x"), filepath.Join(dir, "game/x.star"))
	tree, err := walk(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		filepath.Join(busy, "x"): true, filepath.Join(busy, "y"): false, filepath.Join(dir, "game/x.star"): true, filepath.Join(dir, "game/new.star"): true,
		filepath.Join(dir, "new"): true, filepath.Join(filepath.Dir(dir), "other"): false,
	} {
		if tree.concerns(name) != want {
			t.Errorf("%s concerns the scripts: %v, want %v", name, !want, want)
		}
	}
}

func TestWhatCannotBeWatchedIsAnError(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), 1)
	for _, bad := range []string{filepath.Join(dir, "file"), filepath.Join(dir, "nothing")} {
		if f, err := Watch(Config{Dir: bad}); err == nil {
			t.Errorf("%s is watched", bad)
			_ = f.Close()
		}
	}
}

func write(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Append(nil, n), 0o600); err != nil {
		t.Fatal(err)
	}
}

// link makes a link in one step, replacing an existing one.
func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	next := path + ".tmp"
	if err := os.Symlink(target, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

var linkKinds = map[string]func(t *testing.T) (dir string, change func(n int)){
	"no link": func(t *testing.T) (string, func(int)) {
		dir := t.TempDir()
		change := func(n int) { write(t, filepath.Join(dir, "game/handlers_client/x.star"), n) }
		change(1)
		return dir, change
	},
	"a linked file that is written": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) { write(t, filepath.Join(other, "x"), n) }
		change(1)
		link(t, filepath.Join(other, "x"), filepath.Join(dir, "game/handlers_client/x.star"))
		return dir, change
	},
	"a linked file that is replaced": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) {
			write(t, filepath.Join(other, "new"), n)
			if err := os.Rename(filepath.Join(other, "new"), filepath.Join(other, "x")); err != nil {
				t.Fatal(err)
			}
		}
		change(1)
		link(t, filepath.Join(other, "x"), filepath.Join(dir, "game/handlers_client/x.star"))
		return dir, change
	},
	"a file's link that is swapped": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) {
			at := filepath.Join(other, fmt.Sprint(n))
			write(t, at, n)
			link(t, at, filepath.Join(dir, "game/handlers_client/x.star"))
		}
		change(1)
		return dir, change
	},
	"a linked folder": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) { write(t, filepath.Join(other, "handlers_client/x.star"), n) }
		change(1)
		link(t, other, filepath.Join(dir, "game"))
		return dir, change
	},
	"a linked folder below a service's": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) { write(t, filepath.Join(other, "x.star"), n) }
		change(1)
		link(t, other, filepath.Join(dir, "game/handlers_client"))
		return dir, change
	},
	"a folder's link that is swapped": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) {
			at := filepath.Join(other, fmt.Sprint(n))
			write(t, filepath.Join(at, "handlers_client/x.star"), n)
			link(t, at, filepath.Join(dir, "game"))
		}
		change(1)
		return dir, change
	},
	"the whole folder is a link": func(t *testing.T) (string, func(int)) {
		base := t.TempDir()
		change := func(n int) {
			write(t, filepath.Join(base, fmt.Sprint(n), "game/handlers_client/x.star"), n)
			link(t, fmt.Sprint(n), filepath.Join(base, "current"))
		}
		change(1)
		return filepath.Join(base, "current"), change
	},
	"a link above it is swapped": func(t *testing.T) (string, func(int)) {
		base := t.TempDir()
		change := func(n int) {
			write(t, filepath.Join(base, fmt.Sprint(n), "scripts/game/handlers_client/x.star"), n)
			link(t, fmt.Sprint(n), filepath.Join(base, "current"))
		}
		change(1)
		return filepath.Join(base, "current/scripts"), change
	},
	"a ConfigMap": func(t *testing.T) (string, func(int)) { // as kubelet mounts it, with a path for its item
		dir := t.TempDir()
		mount := filepath.Join(dir, "game")
		change := func(n int) {
			write(t, filepath.Join(mount, fmt.Sprintf("..2026_%d/handlers_client/x.star", n)), n)
			link(t, fmt.Sprintf("..2026_%d", n), filepath.Join(mount, "..data"))
			if n == 1 {
				link(t, "..data/handlers_client", filepath.Join(mount, "handlers_client"))
			} else if err := os.RemoveAll(filepath.Join(mount, fmt.Sprintf("..2026_%d", n-1))); err != nil {
				t.Fatal(err)
			}
		}
		change(1)
		return dir, change
	},
	"a ConfigMap of files": func(t *testing.T) (string, func(int)) { // mounted where the handlers are
		dir := t.TempDir()
		mount := filepath.Join(dir, "game/handlers_client")
		change := func(n int) {
			write(t, filepath.Join(mount, fmt.Sprintf("..2026_%d/x.star", n)), n)
			link(t, fmt.Sprintf("..2026_%d", n), filepath.Join(mount, "..data"))
			if n == 1 {
				link(t, "..data/x.star", filepath.Join(mount, "x.star"))
			} else if err := os.RemoveAll(filepath.Join(mount, fmt.Sprintf("..2026_%d", n-1))); err != nil {
				t.Fatal(err)
			}
		}
		change(1)
		return dir, change
	},
	"a link through a link": func(t *testing.T) (string, func(int)) {
		dir, other := t.TempDir(), t.TempDir()
		change := func(n int) {
			write(t, filepath.Join(other, fmt.Sprint(n), "x.star"), n)
			link(t, fmt.Sprint(n), filepath.Join(other, "current"))
		}
		change(1)
		link(t, filepath.Join(other, "current/x.star"), filepath.Join(dir, "game/handlers_client/x.star"))
		return dir, change
	},
}
