package main

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// valve stands before a server and can fall silent: connections stay open, nothing passes.
type valve struct {
	addr string
	mu   sync.Mutex
	open chan struct{} // closed while bytes pass
}

func newValve(t *testing.T, server string) *valve {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{addr: l.Addr().String(), open: make(chan struct{})}
	close(v.open)
	t.Cleanup(func() { l.Close(); v.turn(true) })
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", server)
			if err != nil {
				front.Close()
				continue
			}
			go v.carry(front, back)
			go v.carry(back, front)
		}
	}()
	return v
}

func (v *valve) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		v.mu.Lock()
		open := v.open
		v.mu.Unlock()
		<-open
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// turn opens the valve or closes it.
func (v *valve) turn(open bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.open:
		if !open {
			v.open = make(chan struct{})
		}
	default:
		if open {
			close(v.open)
		}
	}
}

// behind returns the URL of what stands behind a valve, through it.
func (v *valve) behind(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = v.addr
	return u.String()
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// tells waits until the node says a condition in all three places: its /healthz, its log, and the doctor's report.
func (p *process) tells(addr string, kind shard.ConditionKind, status, doctorExit int, doctor []string, parts ...string) {
	p.t.Helper()
	text := ""
	p.until("has the condition "+string(kind), func() bool {
		h, got := state(addr)
		for _, c := range h.Conditions {
			if c.Kind == kind && got == status {
				text = c.Text
			}
		}
		return text != ""
	})
	way, _, _ := strings.Cut(shard.WayOut(kind, "main"), "wind ") // the rest is a command, spelled as it is typed there
	for _, part := range append(parts, way) {
		if !strings.Contains(text, part) {
			p.t.Errorf("/healthz: no %q in %q", part, text)
		}
	}
	p.says("condition=" + string(kind))
	report := run(p.t, doctorExit, nil, append([]string{"doctor", "--udp", "", "--tcp", "", "--http", addr}, doctor...)...)
	if out := string(report.output()); !strings.Contains(out, string(kind)+": ") {
		p.t.Errorf("wind doctor does not say %s:\n%s", kind, out)
	}
}

// well waits until the node reports no problem.
func (p *process) well(addr string) {
	p.t.Helper()
	p.until("is well again", func() bool {
		h, status := state(addr)
		return status == http.StatusOK && len(h.Conditions) == 0
	})
}

// TestConditionsOfACluster makes what can be the matter with a shard on servers of its own, and reads what is said of it.
func TestConditionsOfACluster(t *testing.T) {
	c := startCluster(t)
	servers := []string{"--nats", c.nats, "--etcd", c.etcd} // of the doctor
	natsValve, etcdValve := newValve(t, hostOf(t, c.nats)), newValve(t, hostOf(t, c.etcd))
	c.nats, c.etcd = natsValve.behind(t, c.nats), etcdValve.behind(t, c.etcd)
	anna := c.node(0)
	first := anna.owns(c.http[0], 10)
	anna.well(c.http[0])

	natsValve.turn(false)
	anna.tells(c.http[0], shard.AwaitsNATS, http.StatusServiceUnavailable, 1, servers, "waits for the commit of record")
	anna.tells(c.http[0], shard.Behind, http.StatusServiceUnavailable, 1, servers, "is behind by")
	natsValve.turn(true)
	anna.well(c.http[0])

	bert := c.node(1)
	bert.tells(c.http[1], shard.AwaitsOwner, http.StatusOK, 0, servers, "node anna owns shard main (epoch 1)")

	anna.freeze()
	second := bert.owns(c.http[1], first.Tick)
	anna.thaw()
	anna.tells(c.http[0], shard.Fenced, http.StatusOK, 0, servers, "epoch 2")
	bert.owns(c.http[1], second.Tick+10)
	anna.stop()

	etcdValve.turn(false)
	bert.tells(c.http[1], shard.AwaitsEtcd, http.StatusServiceUnavailable, 1, servers)
	etcdValve.turn(true)
	bert.owns(c.http[1], second.Tick+20)
	bert.well(c.http[1])

	c.note(func(shard.Standing) shard.Note { return shard.Note{Halted: "an operator looks at something"} })
	bert.stop()
	anna = c.node(0)
	anna.tells(c.http[0], shard.Halted, http.StatusServiceUnavailable, 1, servers, "an operator looks at something")
	run(t, 0, nil, "shard", "resume", "main", "--etcd", c.etcd)
	anna.owns(c.http[0], second.Tick+30)
	anna.well(c.http[0])

	anna.stop()
	c.note(func(s shard.Standing) shard.Note {
		return shard.Note{High: persistence.Mark{Seq: 1 << 30, Epoch: s.Epoch}}
	})
	bert = c.node(1)
	bert.tells(c.http[1], shard.HistoryLost, http.StatusServiceUnavailable, 1, servers, "1073741824")
	run(t, 0, nil, "shard", "accept-loss", "main", "--etcd", c.etcd, "--nats", c.nats)
	bert.owns(c.http[1], second.Tick+40)
	bert.well(c.http[1])
	bert.stop()
	c.check()
}

// TestAFullLogIsNamed has bots fill a log that keeps all: it warns with the time left, then says that it is full, and the
// way out that it prints is one. A log that is full at the start is TestAFullLogThatNobodyClaimsIsPurged.
func TestAFullLogIsNamed(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("takes two minutes: WIND_LONG=1")
	}
	data, udp, web := filepath.Join(t.TempDir(), "data"), nodetest.Addr(t), nodetest.Addr(t)
	serve := func(more ...string) *process {
		return wind(t, append([]string{"serve", "--data", data, "--udp", udp, "--tcp", "", "--http", web, "--json"}, more...)...)
	}
	server, doctor := serve("--log-bytes", "1MiB", "--purge=never"), []string{"--data", data}
	server.owns(web, 1)
	wind(t, "bots", "--addr", udp, "--count", "100", "--wait", "60s")
	filled := func(stops bool) func() bool {
		return func() bool {
			h, _ := state(web)
			return slices.ContainsFunc(h.Conditions, func(c shard.Condition) bool { return c.Kind == shard.LogFull && c.Stops == stops })
		}
	}
	server.within(5*time.Minute, "warns", filled(false))
	server.tells(web, shard.LogFull, http.StatusOK, 0, doctor, "full in about")
	server.within(5*time.Minute, "is full", filled(true))
	server.tells(web, shard.LogFull, http.StatusServiceUnavailable, 1, doctor)
	_, full := state(web)
	if code := server.stop(); code != 0 || full != http.StatusServiceUnavailable {
		t.Fatalf("the node ends with %d", code)
	}
	server = serve("--log-bytes", "4MiB", "--purge=never")
	server.owns(web, 1)
	server.well(web)
	server.stop()
	run(t, 0, nil, "log", "check", "--data", data)
}

// TestAnotherSchemaIsNamed: a build that cannot carry the shard over ends and says why; so does the doctor of that build.
func TestAnotherSchemaIsNamed(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	as(t, "first", 0, nil, devArgs(data, "1s")...)
	p := as(t, "renamed", 1, nil, devArgs(data, "1s")...)
	doctor := as(t, "renamed", 1, nil, "doctor", "--data", data, "--udp", "", "--tcp", "", "--http", "")
	for what, said := range map[string]string{"the log": p.log(), "wind doctor": string(doctor.output())} {
		for _, part := range []string{"component mark is now spot", "run the build that wrote the log"} {
			if !strings.Contains(said, part) {
				t.Errorf("%s: no %q in:\n%s", what, part, said)
			}
		}
	}
	if !strings.Contains(string(doctor.output()), string(shard.OtherSchema)+": ") {
		t.Errorf("wind doctor does not name the condition:\n%s", doctor.output())
	}
}

// note writes into etcd what a node would.
func (c *cluster) note(of func(shard.Standing) shard.Note) {
	c.t.Helper()
	client, err := etcd.Dial(c.t.Context(), c.etcd)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	s, err := etcd.Look(client, "dev", "main")
	if err != nil {
		c.t.Fatal(err)
	}
	standing, err := s.Read(c.t.Context())
	if err == nil {
		err = s.Note(c.t.Context(), of(standing))
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
