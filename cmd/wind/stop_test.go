package main

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/shard/etcd"
)

// TestEveryKindOfProcessIsStoppedFromAfar: a service, a gateway and a shard's node end as on SIGTERM, and have left the
// cluster when stop returns.
func TestEveryKindOfProcessIsStoppedFromAfar(t *testing.T) {
	s := startServices(t, 1, "game-1")
	shard := wind(t, "serve", "--nats", s.nats, "--etcd", s.etcd, "--node", "Anna.Node", "--udp", s.udp[0], "--tcp", "", "--http", s.http[0], "--json")
	shard.owns(s.http[0], 5)
	missing := run(t, 1, nil, "stop", "nobody", "--nats", s.nats, "--etcd", s.etcd)
	if says := missing.log(); !strings.Contains(says, "cluster dev has no node nobody; it has Anna.Node, game-1, gateway-1") {
		t.Errorf("a node that is not there: %s", says)
	}
	for id, p := range map[string]*process{"game-1": s.games["game-1"], "gateway-1": s.doors[0].process, "Anna.Node": shard} {
		var r struct{ Node, State string }
		run(t, 0, &r, "stop", id, "--json", "--nats", s.nats, "--etcd", s.etcd)
		if r.Node != id || r.State != "stopped" {
			t.Errorf("%s: %+v", id, r)
		}
		for _, left := range s.nodes(t) {
			if left == id {
				t.Errorf("%s is still in the cluster", id)
			}
		}
		if code := p.exit(); code != 0 {
			t.Errorf("%s ends with %d: %s", id, code, p.log())
		}
		if !strings.Contains(p.log(), "an operator asked for it") {
			t.Errorf("%s does not say why it stops: %s", id, p.log())
		}
	}
}

// nodes are the nodes of the cluster, as ps lists them.
func (s *services) nodes(t *testing.T) (ids []string) {
	t.Helper()
	var r struct {
		Nodes []struct {
			ID string `json:"id"`
		} `json:"nodes"`
	}
	run(t, 0, &r, "ps", "--json", "--nats", s.nats, "--etcd", s.etcd)
	for _, n := range r.Nodes {
		ids = append(ids, n.ID)
	}
	return ids
}

// TestStopKnowsProcessesApart: the name of an instance is not that of its node, and a new process under the name of the one
// that stops is another one.
func TestStopKnowsProcessesApart(t *testing.T) {
	s := startServices(t, 0, "game-1")
	at := []string{"--nats", s.nats, "--etcd", s.etcd}
	begin := func(id string) *process {
		p := wind(t, append([]string{"service", "game", "--game", "speak", "--scripts", s.scripts, "--id", id, "--node", "machine-7", "--lease", s.lease}, at...)...)
		p.says("instance " + id)
		return p
	}
	old := begin("game-2")
	if says := run(t, 1, nil, append([]string{"stop", "game-2"}, at...)...).log(); !strings.Contains(says, "that is an instance of game, which runs on node machine-7") {
		t.Errorf("stop of an instance's name: %s", says)
	}
	stop := wind(t, append([]string{"stop", "machine-7", "--timeout", "20s"}, at...)...)
	old.says("an operator asked for it")
	begin("game-3") // before stop has seen that the first one left, or after
	stop.ends(0, nil)
	if code := old.exit(); code != 0 {
		t.Errorf("the stopped process ends with %d", code)
	}
}

// TestATakenIDIsNotAnOutage: an instance whose id is taken says so, and does not blame NATS.
func TestATakenIDIsNotAnOutage(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServices(t, 1, "game-1")
	at := []string{"--nats", s.nats, "--etcd", s.etcd}
	for name, p := range map[string]*process{
		"service": wind(t, append([]string{"service", "game", "--game", "speak", "--scripts", s.scripts, "--id", "game-1"}, at...)...),
		"gateway": wind(t, append([]string{"gateway", "--game", "speak", "--id", "gateway-1", "--tcp", "127.0.0.1:0"}, at...)...),
	} {
		code := p.exit()
		if text := p.log(); code != 1 || !strings.Contains(text, "already runs on node") || !strings.Contains(text, "the id is taken: waiting") || strings.Contains(text, "does not answer") {
			t.Errorf("a %s ends with %d:\n%s", name, code, text)
		}
	}
}

// TestASecondNodeOfTheNameIsRefused: it neither replaces the first one's record nor removes it at its end.
func TestASecondNodeOfTheNameIsRefused(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServices(t, 0, "game-1")
	at := []string{"--nats", s.nats, "--etcd", s.etcd}
	args := append([]string{"serve", "--node", "game-1", "--udp", s.udp[0], "--tcp", "", "--http", s.http[0]}, at...)
	p := wind(t, args...)
	code, text := p.exit(), p.log()
	for _, want := range []string{"the id is taken: waiting", "node game-1 already runs on host ", "choose another name with --node", "wait until its lease has ended"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != 1 || strings.Contains(text, "does not answer") {
		t.Errorf("a second node ends with %d:\n%s", code, text)
	}
	if nodes, err := etcd.Nodes(t.Context(), s.link.Etcd, "dev"); err != nil || len(nodes) != 1 || nodes[0].Node != "game-1" || nodes[0].Host == "" {
		t.Errorf("the nodes are %+v, %v", nodes, err)
	}
}
