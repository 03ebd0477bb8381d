package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/shard"
)

// TestAStartWithASilentServerIsSaid starts a node whose etcd accepts connections and says nothing. /healthz and the log say
// whom it waits for, and an interrupt ends it at once.
func TestAStartWithASilentServerIsSaid(t *testing.T) {
	infra := wind(t, "infra", "--data", filepath.Join(t.TempDir(), "infra"), "--nats-port", port(nodetest.Addr(t)), "--etcd-port", port(nodetest.Addr(t)), "--json")
	var urls struct{ NATS string }
	infra.until("prints its URLs", func() bool { return json.Unmarshal(infra.output(), &urls) == nil })
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // what connects waits in the queue of connections that are not accepted
	web := nodetest.Addr(t)
	n := wind(t, "serve", "--nats", urls.NATS, "--etcd", "http://"+silent.Addr().String(), "--udp", nodetest.Addr(t), "--tcp", "", "--http", web)
	n.until("says that it waits", func() bool {
		answer, err := (&http.Client{Timeout: time.Second}).Get("http://" + web + "/healthz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var h node.Health
		return json.NewDecoder(answer.Body).Decode(&h) == nil && !h.Healthy &&
			slices.ContainsFunc(h.Conditions, func(c shard.Condition) bool { return c.Kind == shard.AwaitsEtcd })
	})
	n.says("still waiting for etcd")
	begun := time.Now()
	n.stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("an interrupt ended it after %v", took)
	}
}

// port is that of an address.
func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
