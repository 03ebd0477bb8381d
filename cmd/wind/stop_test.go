package main

import (
	"strings"
	"testing"
)

// TestEveryKindOfProcessIsStoppedFromAfar: a service, a gateway and a shard's node end as on SIGTERM, and have left the
// cluster when stop returns.
func TestEveryKindOfProcessIsStoppedFromAfar(t *testing.T) {
	s := startServices(t, 1, "game-1")
	shard := wind(t, "serve", "--nats", s.nats, "--etcd", s.etcd, "--node", "Anna.Node", "--udp", s.udp[0], "--tcp", "", "--http", s.http[0], "--json")
	shard.owns(s.http[0], 5)
	missing := run(t, 1, nil, "stop", "nobody", "--nats", s.nats, "--etcd", s.etcd)
	if says := missing.log(); !strings.Contains(says, "cluster dev has no node nobody; it has: Anna.Node, game-1, gateway-1") {
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
