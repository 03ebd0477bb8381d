package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/shard"
)

// disk is a small file system of its own.
type disk struct {
	t   *testing.T
	dir string
}

// smallDisk mounts 300 MiB; the test is skipped where this process may not mount.
func smallDisk(t *testing.T) disk {
	t.Helper()
	d := disk{t, filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", d.dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here (it takes Linux and root): %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return d
}

func (d disk) filler() string { return filepath.Join(d.dir, "fill") }

// fill takes all that is free.
func (d disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 4<<20); len(piece) > 0; {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// free gives it back.
func (d disk) free() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// state is what /healthz answers, and its status; zero while nobody does.
func state(addr string) (h node.Health, status int) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://" + addr + "/healthz")
	if err != nil {
		return h, 0
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&h) != nil {
		return h, 0
	}
	return h, resp.StatusCode
}

// suffers waits until /healthz fails for a condition.
func (p *process) suffers(addr string, kind shard.ConditionKind) {
	p.t.Helper()
	p.until("says "+string(kind), func() bool {
		h, status := state(addr)
		return status == http.StatusServiceUnavailable && slices.ContainsFunc(h.Conditions, func(c shard.Condition) bool { return c.Kind == kind })
	})
}

// serves waits until the node serves its shard again, beyond a tick, and returns how long that took.
func (p *process) serves(addr string, beyond uint64) time.Duration {
	p.t.Helper()
	begin := time.Now()
	p.until(fmt.Sprintf("serves its shard beyond tick %d", beyond), func() bool {
		h, status := state(addr)
		return status == http.StatusOK && h.Phase == "own" && h.Tick > beyond
	})
	return time.Since(begin)
}

// TestAFullDiskIsSurvived starts a node on a full disk of 300 MiB, then fills and frees the disk under 20 bots, again and
// again (WIND_LONG: 5 times), and kills the node once while it is full. The state is told as what it is, the service comes
// back by itself, and nothing that a client saw is lost.
func TestAFullDiskIsSurvived(t *testing.T) {
	d := smallDisk(t)
	rounds := long(1, 5)
	within := time.Duration(long(30, 5)) * time.Second // from the freeing on; the tests of a loaded machine have patience
	data, trace := filepath.Join(d.dir, "data"), filepath.Join(t.TempDir(), "seen.jsonl")
	udp, web := nodetest.Addr(t), nodetest.Addr(t)
	serve := func() *process {
		return wind(t, "serve", "--data", data, "--udp", udp, "--tcp", "", "--http", web, "--monsters", "50", "--json")
	}
	var server *process
	back := func(what string, beyond uint64) {
		t.Helper()
		d.free()
		took := server.serves(web, beyond)
		t.Logf("%s: back %v after the disk was freed", what, took.Round(time.Millisecond))
		if took > within {
			t.Errorf("%s: the service is back after %v, want %v at most", what, took, within)
		}
	}
	full := func() uint64 {
		t.Helper()
		d.fill()
		server.tells(web, shard.DiskFull, http.StatusServiceUnavailable, 1, []string{"--data", data}, data, "0 KiB free")
		time.Sleep(time.Duration(long(1, 8)) * time.Second) // it stays full for a while
		return healthOf(web).Tick
	}

	d.fill()
	server = serve()
	server.suffers(web, shard.DiskFull)
	back("started full, with nothing", 0)

	bots := wind(t, "bots", "--addr", udp, "--count", "20", "--trace", trace, "--wait", "60s", "--json")
	bots.until("plays", func() bool { return healthOf(web).Clients == 20 })
	for i := range rounds {
		tick := full()
		back(fmt.Sprintf("round %d", i+1), tick)
		server.until("has its clients", func() bool { return healthOf(web).Clients == 20 })
	}

	tick := full()
	server.kill()
	server = serve()
	server.suffers(web, shard.DiskFull)
	back("killed and started full", tick)
	server.until("has its clients again", func() bool { return healthOf(web).Clients == 20 })
	server.owns(web, tick+30)

	if code := bots.stop(); code != 0 {
		t.Fatalf("the bots end with %d", code)
	}
	var played fleet.Stats
	bots.result(&played)
	if played.Rejoins > 0 {
		t.Errorf("%d bots began a new session", played.Rejoins)
	}
	if code := server.stop(); code != 0 {
		t.Fatalf("the node ends with %d", code)
	}
	if n := everythingSeenIsInTheLog(t, data, trace); n < 20 {
		t.Errorf("the bots saw only %d updates", n)
	}
	run(t, 0, nil, "log", "check", "--data", data)
	run(t, 0, nil, "replay", "--data", data, "--verify")
}

// TestALogIsTurnedOver lets 20 bots fill a log of 1 MiB three times over, which takes two minutes, then purges it by hand
// while it runs and when it is stopped.
func TestALogIsTurnedOver(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("takes two minutes: WIND_LONG=1")
	}
	data, udp, web := filepath.Join(t.TempDir(), "data"), nodetest.Addr(t), nodetest.Addr(t)
	server := wind(t, "serve", "--data", data, "--log-bytes", "1MiB", "--udp", udp, "--tcp", "", "--http", web, "--json")
	server.owns(web, 1)
	bots := wind(t, "bots", "--addr", udp, "--count", "20", "--wait", "60s", "--json")
	var p shard.Purged
	for end := time.Now().Add(5 * time.Minute); p.First < 3000; time.Sleep(2 * time.Second) {
		if h, status := state(web); status != http.StatusOK || time.Now().After(end) {
			t.Fatalf("status %d, %+v, the log begins at %d", status, h, p.First)
		}
		if look := wind(t, "log", "purge", "main", "--data", data, "--dry-run", "--json"); look.exit() == 0 { // else there are no two snapshots yet
			look.result(&p)
		}
	}
	run(t, 0, &p, "log", "purge", "main", "--data", data, "--json")
	if p.Records == 0 || len(p.Snapshots) != 2 {
		t.Errorf("purged while it runs: %+v", p)
	}
	if code := bots.stop(); code != 0 {
		t.Fatalf("the bots end with %d", code)
	}
	if code := server.stop(); code != 0 {
		t.Fatalf("the node ends with %d", code)
	}
	run(t, 0, &p, "log", "purge", "main", "--data", data, "--json")
	run(t, 0, nil, "log", "check", "--data", data)
	run(t, 0, nil, "replay", "--data", data, "--verify")
}

// TestAReadOnlyStoreIsNamed has a file system turn read-only under a node, as ext4 does after an error, and starts a node
// on it.
func TestAReadOnlyStoreIsNamed(t *testing.T) {
	d, fail := fragileDisk(t)
	data, web := filepath.Join(d.dir, "data"), nodetest.Addr(t)
	args := []string{"serve", "--data", data, "--udp", nodetest.Addr(t), "--tcp", "", "--http", web, "--json"}
	server := wind(t, args...)
	server.owns(web, 10)
	fail()
	server.tells(web, shard.ReadOnly, http.StatusServiceUnavailable, 1, []string{"--data", data}, data, "read-only")
	time.Sleep(3 * time.Second) // etcd would be ended by now, had it been given something to write
	server.suffers(web, shard.ReadOnly)
	server.kill()

	again := wind(t, args...)
	if code := again.exit(); code != 1 {
		t.Errorf("a start on a read-only file system ends with %d, want 1", code)
	}
	if log := again.log(); !strings.Contains(log, data) || !strings.Contains(log, "read-only") || strings.Contains(log, "goroutine ") {
		t.Errorf("a start on a read-only file system does not say so:\n%s", log)
	}
}

// fragileDisk mounts an ext4 of 300 MiB that turns read-only when fail is called; the test is skipped where this process
// may not.
func fragileDisk(t *testing.T) (d disk, fail func()) {
	t.Helper()
	dir := t.TempDir()
	d, image := disk{t, filepath.Join(dir, "disk")}, filepath.Join(dir, "image")
	do := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Skipf("a file system cannot be made here (it takes Linux, root and loop devices): %s: %v: %s", name, err, out)
		}
	}
	if err := errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, 300<<20)); err != nil {
		t.Fatal(err)
	}
	do("mkfs.ext4", "-q", "-F", image)
	do("mount", "-o", "loop,errors=remount-ro", image, d.dir)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	source, err := exec.Command("findmnt", "-no", "SOURCE", d.dir).Output()
	if err != nil {
		t.Skipf("the device of a file system cannot be found: %v", err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(source))), "trigger_fs_error")
	if _, err := os.Stat(trigger); err != nil {
		t.Skipf("this kernel makes no errors of file systems: %v", err)
	}
	return d, func() {
		t.Helper()
		if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
}
