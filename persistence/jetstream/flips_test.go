package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

func init() { children["check"] = checkStore }

// checkStore does what log check does, and prints the outcome.
func checkStore(dir string) {
	ctx, t := context.Background(), &childT{}
	c, err := OpenCopy(ctx, dir, CopyOptions{Temp: os.Getenv("WIND_TEST_TEMP")})
	t.must(err)
	defer c.Close()
	s, _, err := c.Open(ctx, "dev", "main")
	t.must(err)
	defer s.Close()
	r, err := persistence.Check(ctx, s.Source(), persistence.CheckOptions{})
	t.must(err)
	fmt.Printf("checked: %d findings, broken %v\n", len(r.Findings), r.Broken())
}

// damage is one kind of damage done to a store.
type damage struct {
	what string
	log  bool // to a log's row
}

// TestFlipsAnywhere flips single bits at random in all files of a store, every other one in a sequence or a length
// field of a row, and removes, cuts, zeroes and swaps files. A start and a check must each end in time, within 1.5 GB,
// and either succeed correctly or name the damage.
func TestFlipsAnywhere(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	t.Setenv("WIND_TEST_TEMP", t.TempDir())
	rnd := newRand(t)
	rounds := 6
	if os.Getenv("WIND_LONG") != "" {
		rounds = 120
	}
	stores := map[string]string{}
	for _, end := range ends {
		stores[end] = newStore(t, end)
	}
	for i := range rounds {
		for kind, do := range []func(*testing.T, *rand.Rand, string) damage{flipField, flipAny, breakFile} {
			end := ends[(i+kind)%2]
			t.Run(fmt.Sprintf("%s/%d-%d", end, i, kind), func(t *testing.T) {
				dir := duplicate(t, stores[end])
				d := do(t, rnd, dir)
				t.Log(d.what)
				was := contentsOf(t, dir)
				check := ended(t, "check", dir)
				if !slices.Equal(was, contentsOf(t, dir)) {
					t.Error("the check changed the store")
				}
				boot := ended(t, "boot", dir)
				t.Logf("check: %s\nstart: %s", check, boot)
				refused := strings.HasPrefix(boot, "child: ")
				switch {
				case refused && !strings.Contains(boot, dir) && !strings.Contains(boot, "stream "):
					t.Errorf("a start is refused without a name: %s", boot)
				case refused && strings.HasPrefix(check, "checked: 0 ") && !strings.Contains(boot, kvStreamPrefix):
					t.Errorf("the check finds nothing, a start says %s", boot)
				case !refused && !strings.HasPrefix(boot, "booted: 120 records, "):
					t.Errorf("a start says %s", boot)
				case !refused && d.log && strings.HasPrefix(check, "checked: 0 "):
					t.Log("a flip in what was purged, or in a length that says the same")
				}
				// A kill leaves no index: a bucket whose newest block ends early looks the same as one that lost its
				// last writes in a power failure.
				torn := end == "killed" && strings.Contains(d.what, kvStreamPrefix) && strings.HasSuffix(d.what, ".blk cut")
				if keys := " 40 keys"; !refused && !torn && !strings.HasSuffix(boot, keys) {
					t.Errorf("a start goes on and has lost keys: %s", boot)
				}
			})
		}
	}
}

// flipField flips a bit of the sequence or the length of a row of any stream.
func flipField(t *testing.T, rnd *rand.Rand, dir string) damage {
	streams, err := os.ReadDir(filepath.Join(dir, accountDir))
	if err != nil {
		t.Fatal(err)
	}
	stream := streams[rnd.IntN(len(streams))].Name()
	rows := rowsOf(t, dir, stream)
	r := rows[rnd.IntN(len(rows))]
	at, bit := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 21}[rnd.IntN(14)], rnd.IntN(8)
	flip(t, r.file, r.at+at, 1<<bit)
	_, _, isLog := parseLogStream(stream)
	return damage{fmt.Sprintf("bit %d of byte %d of message %d of %s", bit, at, r.seq, stream), isLog}
}

// filesOf lists a store's files.
func filesOf(t *testing.T, dir string) (files []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != lockFile {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// flipAny flips a bit of any file.
func flipAny(t *testing.T, rnd *rand.Rand, dir string) damage {
	files := filesOf(t, dir)
	file := files[rnd.IntN(len(files))]
	i, err := os.Stat(file)
	if err != nil || i.Size() == 0 {
		return damage{what: "nothing"}
	}
	at, bit := rnd.IntN(int(i.Size())), rnd.IntN(8)
	flip(t, file, at, 1<<bit)
	return damage{what: fmt.Sprintf("bit %d of byte %d of %s", bit, at, strings.TrimPrefix(file, dir))}
}

// breakFile removes, cuts, zeroes or swaps a file.
func breakFile(t *testing.T, rnd *rand.Rand, dir string) damage {
	files := filesOf(t, dir)
	file, other := files[rnd.IntN(len(files))], files[rnd.IntN(len(files))]
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	how := [...]string{"removed", "cut", "zeroed", "swapped with " + filepath.Base(other)}[rnd.IntN(4)]
	switch how {
	case "removed":
		err = os.Remove(file)
	case "cut":
		err = os.Truncate(file, int64(rnd.IntN(len(b)+1)))
	case "zeroed":
		clear(b)
		err = os.WriteFile(file, b, 0o600)
	default:
		var second []byte
		if second, err = os.ReadFile(other); err == nil {
			err = errors.Join(os.WriteFile(file, second, 0o600), os.WriteFile(other, b, 0o600))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return damage{what: strings.TrimPrefix(file, dir) + " " + how}
}

// contentsOf lists names and sizes of a store's files, and what they hold.
func contentsOf(t *testing.T, dir string) (all []string) {
	for _, file := range filesOf(t, dir) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file+string(b))
	}
	return all
}

// ended runs a child on a store and returns its last line. The child must stay within the bounds of time and memory.
func ended(t *testing.T, child, dir string) string {
	t.Helper()
	begin := time.Now()
	p, out := startChild(t, child, dir)
	defer func() { _ = p.Wait() }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for time.Since(begin) < guardTime {
		select {
		case line := <-out.lines:
			return line
		case <-look.C:
		}
		if rss := residentBytes(p.Process.Pid); rss > guardBytes {
			_ = p.Process.Kill()
			t.Fatalf("the %s takes %d MiB", child, rss>>20)
		}
	}
	_ = p.Process.Signal(syscall.SIGQUIT) // its stacks show where
	t.Fatalf("the %s hangs", child)
	return ""
}
