package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// cluster is NATS and etcd in a process of their own, and the addresses of two nodes.
type cluster struct {
	t          *testing.T
	dir        string
	infra      *process
	nats, etcd string
	lease      string // one that a loaded machine can keep
	udp, http  [2]string
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, lease: "5s", dir: filepath.Join(t.TempDir(), "infra")}
	c.infra = wind(t, "infra", "--data", c.dir, "--json")
	var urls struct{ NATS, Etcd string }
	c.infra.until("prints its URLs", func() bool { return json.Unmarshal(c.infra.output(), &urls) == nil })
	c.nats, c.etcd = urls.NATS, urls.Etcd
	for i := range 2 {
		c.udp[i], c.http[i] = nodetest.Addr(t), nodetest.Addr(t)
	}
	return c
}

// node starts node i for the shard main.
func (c *cluster) node(i int, more ...string) *process {
	c.t.Helper()
	return wind(c.t, append([]string{
		"serve", "--nats", c.nats, "--etcd", c.etcd, "--node", []string{"anna", "bert"}[i], "--lease", c.lease,
		"--udp", c.udp[i], "--tcp", "", "--http", c.http[i], "--monsters", "20", "--json",
	}, more...)...)
}

// check stops the servers and proves the log.
func (c *cluster) check() {
	c.t.Helper()
	if code := c.infra.stop(); code != 0 {
		c.t.Fatalf("infra ends with %d", code)
	}
	run(c.t, 0, nil, "log", "check", "--data", c.dir)
}

func TestStoppedOwnerHandsOverAtOnce(t *testing.T) {
	c := startCluster(t)
	c.lease = "5m" // nobody waits that long: who takes over before was let in
	anna := c.node(0)
	first := anna.owns(c.http[0], 10)
	bert := c.node(1)
	bert.says("waiting")
	if h := healthOf(c.http[1]); h.Phase == "own" {
		t.Fatal("two nodes own the shard")
	}

	bots := wind(t, "bots", "--addr", c.udp[0]+","+c.udp[1], "--count", "5", "--json")
	anna.until("has its clients", func() bool { return healthOf(c.http[0]).Clients == 5 })
	stopped := time.Now()
	if code := anna.stop(); code != 0 {
		t.Fatalf("the owner's stop ends with %d", code)
	}
	second := bert.owns(c.http[1], first.Tick)
	t.Logf("handed over %v after the interrupt", time.Since(stopped).Round(10*time.Millisecond))
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d follows %d", second.Epoch, first.Epoch)
	}
	bert.until("has the clients of the other node", func() bool { return healthOf(c.http[1]).Clients == 5 })
	bots.stop()
	bert.stop()
	c.check()
}

func TestKilledOwnerIsFollowedAfterItsLease(t *testing.T) {
	t.Parallel() // mostly waits
	c := startCluster(t)
	anna, bert := c.node(0), (*process)(nil)
	first := anna.owns(c.http[0], 10)
	bert = c.node(1)
	bert.says("waiting")
	killed := time.Now()
	anna.kill()
	second := bert.owns(c.http[1], first.Tick)
	t.Logf("taken over %v after the kill, lease 5 s", time.Since(killed).Round(10*time.Millisecond))
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d follows %d", second.Epoch, first.Epoch)
	}
	bert.stop()
	c.check()
}

func TestPausedOwnerIsFencedSaysSoAndWaitsForItsNextTurn(t *testing.T) {
	t.Parallel() // mostly waits
	c := startCluster(t)
	anna := c.node(0)
	first := anna.owns(c.http[0], 10)
	bert := c.node(1)
	bert.says("waiting")

	anna.freeze()
	second := bert.owns(c.http[1], first.Tick)
	anna.thaw()
	anna.until("says that it was fenced, and waits", func() bool {
		h := healthOf(c.http[0])
		return h.Healthy && h.has("fenced") && h.has("waiting-for-owner")
	})
	second = bert.owns(c.http[1], second.Tick+10)
	bert.stop()
	third := anna.owns(c.http[0], second.Tick+10)
	if third.Epoch <= second.Epoch || healthOf(c.http[0]).has("fenced") {
		t.Errorf("behind epoch %d anna owns the shard with epoch %d, and is still fenced: %v", second.Epoch, third.Epoch, healthOf(c.http[0]).has("fenced"))
	}
	var ended struct{ Ticks, Committed uint64 }
	if code := anna.stop(); code != 0 {
		t.Errorf("anna ends with %d", code)
	}
	if anna.result(&ended); ended.Committed < first.Tick+10 {
		t.Errorf("anna says that it committed %d ticks, it has twice", ended.Committed)
	}
	var report struct{ Epochs int }
	c.infra.stop()
	run(t, 0, &report, "log", "check", "--data", c.dir, "--json")
	if report.Epochs != 3 {
		t.Errorf("the log holds %d epochs, want 3", report.Epochs)
	}
}
