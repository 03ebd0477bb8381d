package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// settle is how long beyond the lease a shard may stay unserved once an outage is over.
const settle = 2 * time.Second

// seat is a process on fixed ports and a fixed folder, so that it can be killed and started again, or stopped and continued.
type seat struct {
	*process
	start func() *process
}

// gone takes the service away for so long: it is killed and started again, or its process stands still.
func (s *seat) gone(span time.Duration, still bool) {
	if still {
		s.freeze()
		time.Sleep(span)
		s.thaw()
		return
	}
	s.kill()
	time.Sleep(span)
	s.process = s.start()
}

// sites are NATS and etcd, each in a process of its own.
type sites struct {
	cluster
	natsSeat, etcdSeat seat
}

// startSites starts both. Each process is an infra with a server that nobody uses.
func startSites(t *testing.T, lease string) *sites {
	t.Helper()
	s := &sites{cluster: cluster{t: t, lease: lease, dir: filepath.Join(t.TempDir(), "nats")}}
	var urls struct{ NATS, Etcd string }
	begin := func(dir string) seat {
		args := []string{"infra", "--data", dir, "--nats-port", nodetest.Port(t), "--etcd-port", nodetest.Port(t), "--json"}
		start := func() *process {
			p := wind(t, args...)
			p.until("prints its URLs", func() bool { return json.Unmarshal(p.output(), &urls) == nil })
			return p
		}
		return seat{start(), start}
	}
	s.natsSeat = begin(s.dir)
	s.nats = urls.NATS
	s.etcdSeat = begin(filepath.Join(t.TempDir(), "etcd"))
	s.etcd = urls.Etcd
	for i := range 2 {
		s.udp[i], s.http[i] = nodetest.Addr(t), nodetest.Addr(t)
	}
	return s
}

// served waits until a node at one of the addresses owns the shard and makes ticks, and returns how long that took and who.
func served(t *testing.T, https ...string) (took time.Duration, owner int) {
	t.Helper()
	began := time.Now()
	first := make([]uint64, len(https))
	for time.Since(began) < patience {
		for i, addr := range https {
			switch h := healthOf(addr); {
			case h.Phase != "own":
				first[i] = 0
			case first[i] == 0:
				first[i] = h.Tick
			case h.Tick > first[i]:
				return time.Since(began), i
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("nobody serves the shard %s after the outage", patience)
	return time.Since(began), -1
}

// alive fails when a process has ended.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("%s has exited (%d):\n%s", p.name, p.cmd.ProcessState.ExitCode(), p.log())
	default:
	}
}

// TestOutagesEndAndTheShardIsServedAgain takes NATS, etcd and the shard's owner away, killed or standing still, for shorter
// and longer than a lease, while bots play at two nodes. No process may exit, the shard is served again within the lease and
// two seconds, and nothing that a bot saw is lost. WIND_LONG has all spans, ten times each.
func TestOutagesEndAndTheShardIsServedAgain(t *testing.T) {
	t.Parallel() // mostly waits
	lease, spans, times := 3*time.Second, []time.Duration{4 * time.Second}, 1
	if os.Getenv("WIND_LONG") != "" {
		lease, spans, times = 5*time.Second, []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 12 * time.Second, time.Minute}, 10
	}
	s := startSites(t, lease.String())
	nodes := []*process{s.node(0)}
	nodes[0].owns(s.http[0], 1)
	nodes = append(nodes, s.node(1))
	nodes[1].says("waiting")
	trace := filepath.Join(t.TempDir(), "seen.jsonl")
	bots := wind(t, "bots", "--addr", s.udp[0]+","+s.udp[1], "--count", "5", "--trace", trace, "--wait", "60s", "--json")
	bots.until("plays", func() bool { return healthOf(s.http[0]).Clients == 5 })

	outage := func(what string, away func()) {
		t.Helper()
		away()
		took, _ := served(t, s.http[0], s.http[1])
		for _, n := range nodes {
			n.alive()
		}
		bots.alive()
		t.Logf("%s: served again after %s", what, took.Round(10*time.Millisecond))
		if limit := lease + settle; took > limit {
			t.Errorf("%s: served again after %s, more than %s", what, took.Round(time.Millisecond), limit)
		}
	}
	for _, span := range spans {
		for i := range times {
			still := i%2 == 1
			how := map[bool]string{false: "killed", true: "standing still"}[still]
			outage(fmt.Sprintf("NATS %s for %s", how, span), func() { s.natsSeat.gone(span, still) })
			outage(fmt.Sprintf("etcd %s for %s", how, span), func() { s.etcdSeat.gone(span, still) })
		}
	}
	for range times {
		_, owner := served(t, s.http[0], s.http[1])
		outage("the owner stopped for two leases", func() {
			nodes[owner].freeze()
			time.Sleep(2 * lease)
			nodes[owner].thaw()
		})
		nodes[owner].until("says that it was fenced", func() bool { return strings.Contains(nodes[owner].log(), "fenced") })
	}

	for _, p := range []*process{bots, nodes[0], nodes[1], s.etcdSeat.process, s.natsSeat.process} {
		if code := p.stop(); code != 0 {
			t.Errorf("%s ends with %d:\n%s", p.name, code, p.log())
		}
	}
	if seen := everythingSeenIsInTheLog(t, s.dir, trace); seen < 100 {
		t.Errorf("the bots saw only %d updates", seen)
	}
	run(t, 0, nil, "log", "check", "--data", s.dir)
}

// TestEmbeddedNodeOwnsItsShardAgainAfterAPause stops a node that brings its servers along for longer than its lease. Nobody
// else can own its shard, so it does again, by itself.
func TestEmbeddedNodeOwnsItsShardAgainAfterAPause(t *testing.T) {
	t.Parallel() // mostly waits
	const lease = 2 * time.Second
	times := 1
	if os.Getenv("WIND_LONG") != "" {
		times = 10
	}
	dir := t.TempDir()
	data, trace, udp, http := filepath.Join(dir, "data"), filepath.Join(dir, "seen.jsonl"), nodetest.Addr(t), nodetest.Addr(t)
	server := wind(t, "serve", "--data", data, "--lease", lease.String(), "--udp", udp, "--tcp", "", "--http", http, "--monsters", "20", "--json")
	server.owns(http, 1)
	bots := wind(t, "bots", "--addr", udp, "--count", "3", "--trace", trace, "--wait", "60s", "--json")
	bots.until("plays", func() bool { return healthOf(http).Clients == 3 })
	for range times {
		before := healthOf(http)
		server.freeze()
		time.Sleep(2 * lease)
		server.thaw()
		server.says("shard: lease lost")
		took, _ := served(t, http)
		server.alive()
		t.Logf("served again %s after a pause of two leases", took.Round(10*time.Millisecond))
		if took > lease+settle {
			t.Errorf("served again after %s, more than %s", took.Round(time.Millisecond), lease+settle)
		}
		server.within(patience, "has its clients again", func() bool { h := healthOf(http); return h.Clients == 3 && h.Tick > before.Tick })
	}
	for _, p := range []*process{bots, server} {
		if code := p.stop(); code != 0 {
			t.Errorf("%s ends with %d:\n%s", p.name, code, p.log())
		}
	}
	everythingSeenIsInTheLog(t, data, trace)
	run(t, 0, nil, "log", "check", "--data", data)
}

// TestBotsThatAreInterruptedWhileTheyJoinHaveNotFailed: nobody answers them, and their user gives up first.
func TestBotsThatAreInterruptedWhileTheyJoinHaveNotFailed(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	bots := wind(t, "bots", "--addr", silent.LocalAddr().String(), "--count", "2", "--wait", "10m", "--json")
	if _, _, err := silent.ReadFrom(make([]byte, 2048)); err != nil {
		t.Fatal(err)
	}
	if code := bots.stop(); code != 0 {
		t.Errorf("bots end with %d:\n%s", code, bots.log())
	}
}
