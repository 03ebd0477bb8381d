package jetstream

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

func init() { children["copy"] = holdCopy }

// holdCopy opens a copy and waits to be killed.
func holdCopy(dir string) {
	t := &childT{}
	_, err := OpenCopy(context.Background(), dir, CopyOptions{Temp: os.Getenv("WIND_TEST_TEMP")})
	t.must(err)
	fmt.Println("ready")
	select {}
}

// checked returns the result of log check on a store, which must leave the store unchanged.
func checked(t *testing.T, dir string) persistence.Report {
	t.Helper()
	before := fingerprint(t, dir)
	ctx := testContext(t)
	c, err := OpenCopy(ctx, dir, CopyOptions{Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Open(ctx, "dev", "main")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	report, err := persistence.Check(ctx, s.Source(), persistence.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(t, dir) != before {
		t.Fatal("the store was changed")
	}
	return report
}

// TestCheckFindsWhatIsGone damages and removes the files beside a log. The check names the damage, and a start
// succeeds.
func TestCheckFindsWhatIsGone(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	deltas, snapshots := deltaStream("dev", "main"), objectPrefix+snapshotBucket("dev")
	remove := func(t *testing.T, file string) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	mangle := func(t *testing.T, file string) { flip(t, file, 12, 1) }
	for _, end := range ends {
		store := newStore(t, end)
		if r := checked(t, store); r.Broken() {
			t.Fatalf("an intact store: %+v", r.Findings)
		}
		for _, c := range []struct {
			file string // relative to the streams' directory, or to the store
			do   func(*testing.T, string)
			want string // in a finding that is not a warning; "": a warning suffices
		}{
			{deltas + "/meta.inf", mangle, "the description of stream WIND_dev_main_DELTA is damaged"},
			{deltas + "/meta.inf", remove, "the description of stream WIND_dev_main_DELTA is damaged or missing"},
			{deltas + "/meta.sum", remove, "the description of stream WIND_dev_main_DELTA is damaged or missing"},
			{deltas + "/msgs/1.blk", mangle, "damage to one message in "},
			{snapshots + "/meta.inf", mangle, "the description of stream OBJ_WIND_dev_snapshots is damaged"},
			{snapshots + "/meta.inf", remove, "the description of stream OBJ_WIND_dev_snapshots is damaged or missing"},
			{snapshots + "/meta.sum", mangle, "the description of stream OBJ_WIND_dev_snapshots is damaged"},
			{snapshots + "/msgs/1.blk", mangle, "damage to one message in "},
			{snapshots + "/msgs/1.blk", remove, "was stored and proven, but is missing now"},
			{"/marks/WIND_dev_main", mangle, "its mark is damaged"},
			{"/marks/WIND_dev_main", remove, ""},
			{"/marks/WIND_dev_main.snapshots", mangle, "the note of the newest ones is damaged"},
		} {
			t.Run(end+"/"+strings.ReplaceAll(c.file, "/", "_"), func(t *testing.T) {
				dir := duplicate(t, store)
				file := filepath.Join(dir, accountDir, c.file)
				if strings.HasPrefix(c.file, "/") {
					file = filepath.Join(dir, c.file)
				}
				c.do(t, file)
				r := checked(t, dir)
				var said []string
				found := false
				for _, f := range r.Findings {
					said = append(said, f.String())
					found = found || c.want == "" || !f.Warning && strings.Contains(f.What, c.want)
				}
				if !found || r.Broken() != (c.want != "") {
					t.Errorf("the check says, broken %v:\n%s", r.Broken(), strings.Join(said, "\n"))
				}
				if line := booted(t, dir); !strings.HasPrefix(line, "booted: 120 records") {
					t.Errorf("a start says %s", line)
				}
			})
		}
	}
}

// TestCopiesOfKilledProcessesAreRemoved: opening the next copy removes them.
func TestCopiesOfKilledProcessesAreRemoved(t *testing.T) {
	store, temp := newStore(t, "killed"), t.TempDir()
	t.Setenv("WIND_TEST_TEMP", temp)
	child, out := startChild(t, "copy", store)
	if line := out.next(t); line != "ready" {
		t.Fatal(line)
	}
	copies := func() []string {
		all, err := filepath.Glob(filepath.Join(temp, copyPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	time.Sleep(copyGrace)
	another := func() {
		c, err := OpenCopy(testContext(t), store, CopyOptions{Temp: temp})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	another()
	if left := copies(); len(left) != 1 {
		t.Fatalf("copies of a living process: %v", left)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	another()
	if left := copies(); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
}
