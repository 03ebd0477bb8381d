package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
)

// TestNodeWaitsForServersThatAreDown starts a node before its servers: it says what it waits for, takes Ctrl-C, and owns its
// shard when they come. Before, it gave up after 5 s.
func TestNodeWaitsForServersThatAreDown(t *testing.T) {
	t.Parallel() // mostly waits
	s := startSites(t, "5s")
	s.natsSeat.stop()
	anna := s.node(0)
	anna.until("says in /healthz that it waits for NATS", func() bool {
		h := healthOf(s.http[0])
		return !h.Healthy && h.has("waiting-for-nats")
	})
	anna.says("waiting-for-nats")
	if code := anna.stop(); code != 0 {
		t.Errorf("an interrupted wait ends with %d:\n%s", code, anna.log())
	}

	anna = s.node(0)
	s.natsSeat.process = s.natsSeat.start()
	anna.owns(s.http[0], 1)
	anna.stop()
	s.etcdSeat.stop()
	anna = s.node(0)
	anna.until("says in /healthz that it waits for etcd", func() bool { return healthOf(s.http[0]).has("waiting-for-etcd") })
	s.etcdSeat.process = s.etcdSeat.start()
	if h := anna.owns(s.http[0], 1); !h.Healthy || len(h.Conditions) > 0 {
		t.Errorf("the node serves its shard, and /healthz says %+v", h)
	}
}

// TestNodeEndsOnWhatWaitingCannotMend asserts that each is one sentence, and soon.
func TestNodeEndsOnWhatWaitingCannotMend(t *testing.T) {
	s := startSites(t, "5s")
	user, addr, _ := strings.Cut(strings.TrimPrefix(s.nats, "nats://"), "@")
	for what, c := range map[string]struct {
		nats, etcd, says string
		code             int
	}{
		"password": {"nats://node:wrong@" + addr, s.etcd, "refuses the user or the password", 1},
		"URL":      {"nats://" + user + "@[127.0.0.1", s.etcd, "--nats", 2},
		"reader":   {"nats://" + addr, s.etcd, "password", 1},
		"etcd URL": {s.nats, "http://127.0.0.1:port", "--etcd", 2},
	} {
		began := time.Now()
		p := wind(t, "serve", "--nats", c.nats, "--etcd", c.etcd, "--udp", s.udp[0], "--tcp", "", "--http", "")
		if code := p.exit(); code != c.code || !strings.Contains(p.log(), c.says) || time.Since(began) > 20*time.Second {
			t.Errorf("a wrong %s: ends with %d after %s:\n%s", what, code, time.Since(began), p.log())
		}
	}
}

// TestVerbsSayThatThePasswordIsMissing: every verb that sends messages says so at once. Before, some waited half a minute
// for an answer that NATS had refused to carry.
func TestVerbsSayThatThePasswordIsMissing(t *testing.T) {
	s := startCluster(t)
	_, addr, _ := strings.Cut(s.nats, "@")
	for _, args := range [][]string{
		{"call", "game", "RoleRequest"},
		{"drain", "game", "game-1"},
		{"stop", "vm-1"},
		{"reload", "game", "--scripts", testScripts},
		{"service", "game"},
		{"gateway", "--tcp", "127.0.0.1:0"},
		{"log", "purge", "main"},
	} {
		for url, why := range map[string]string{"nats://" + addr: "refuses messages: this user may only read", "nats://node:wrong@" + addr: "refuses the user or the password"} {
			began := time.Now()
			p := wind(t, append(args, "--game", "speak", "--nats", url, "--etcd", s.etcd)...)
			code, text := p.exit(), p.log()
			if code != 1 || !strings.Contains(text, why) || !strings.Contains(text, "give --nats the URL with the nodes' password") || strings.Contains(text, "does not answer") {
				t.Errorf("%s with %s: ends with %d:\n%s", p.name, url, code, text)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("%s with %s: takes %s", p.name, url, took)
			}
		}
	}
}

// TestNodeWhoseLogIsGoneWaitsForIt: etcd knows of a shard whose log NATS does not have. The node never creates a new one; it says
// what is lost and goes on when an operator has brought the log back.
func TestNodeWhoseLogIsGoneWaitsForIt(t *testing.T) {
	t.Parallel() // mostly waits
	s := startSites(t, "5s")
	anna := s.node(0)
	before := anna.owns(s.http[0], 10)
	anna.stop()
	store, aside := node.StoreDir(s.dir), node.StoreDir(s.dir)+"-aside"
	s.natsSeat.stop()
	if err := os.Rename(store, aside); err != nil {
		t.Fatal(err)
	}
	s.natsSeat.process = s.natsSeat.start()

	anna = s.node(0)
	anna.until("says that history is lost", func() bool { h := healthOf(s.http[0]); return !h.Healthy && h.has("history-lost") })
	anna.says("its log is gone")
	s.natsSeat.stop()
	if err := errors.Join(os.RemoveAll(store), os.Rename(aside, store)); err != nil {
		t.Fatal(err)
	}
	s.natsSeat.process = s.natsSeat.start()
	if after := anna.owns(s.http[0], before.Tick+1); after.Epoch != before.Epoch+1 || len(after.Conditions) > 0 {
		t.Errorf("epoch %d follows %d, with %v", after.Epoch, before.Epoch, after.Conditions)
	}
}
