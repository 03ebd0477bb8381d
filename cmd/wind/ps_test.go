package main

import (
	"testing"
	"time"

	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// TestPsCountsThePlayersThatGatewaysBind: an instance that counts its recent players itself, as those in Python do, still counts
// those who have moved elsewhere. While a gateway runs, ps shows the players bound to each instance.
func TestPsCountsThePlayersThatGatewaysBind(t *testing.T) {
	s := startServices(t, 0, "game-1")
	member, err := etcd.Join(t.Context(), s.link.Etcd, etcd.NodeConfig{Cluster: "dev", ID: "oracle-1", TTL: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = member.Close(t.Context()) })
	if _, err := member.Register(t.Context(), discovery.Instance{Type: "oracle", ID: "oracle-1", Language: "python", Players: 9}); err != nil {
		t.Fatal(err)
	}
	players := func(id string) int {
		var r struct {
			Services []struct {
				ID       string
				Players  int
				Fullness float64
			}
		}
		run(t, 0, &r, "ps", "--nats", s.nats, "--etcd", s.etcd, "--json")
		for _, i := range r.Services {
			if i.ID == id {
				return i.Players
			}
		}
		return -1
	}
	if n := players("oracle-1"); n != 9 {
		t.Errorf("without a gateway ps shows %d players, and the instance says 9", n)
	}
	s.begin("gateway-1", "127.0.0.1:0").open()
	s.infra.until("shows nobody bound", func() bool { return players("oracle-1") == 0 && players("game-1") == 0 })
}
