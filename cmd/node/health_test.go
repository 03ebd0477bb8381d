package node

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/ferris1/wind/shard/discovery"
)

// healthz requests a node's /healthz.
func healthz(t *testing.T, n *Node) (code int, fields map[string]any, h Health) {
	t.Helper()
	answer, err := http.Get("http://" + n.HTTPAddr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &fields)
	}
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.StatusCode, fields, h
}

func TestHealthSpeaksOfWhatANodeRuns(t *testing.T) {
	s := startServers(t)
	c := s.config("a", scriptsOf(1, 1))
	c.HTTP = "127.0.0.1:0"
	service := s.start(t, c)
	s.reload(t, number(2))
	code, fields, h := healthz(t, service)
	if code != http.StatusOK || !h.Healthy || len(h.Services) != 1 || h.Gateway != nil {
		t.Fatalf("%d %+v", code, h)
	}
	hash := h.Services[0].Scripts
	if got := h.Services[0]; got != (ServiceHealth{Type: "game", Instance: "a", State: discovery.Up, Modules: 2, Scripts: hash}) || len(hash) != 12 {
		t.Errorf("service %+v", got)
	}
	// An instance that comes with the same scripts has the same hash; so has one that got them by another number of reloads.
	same := s.config("b", scriptsOf(1, 2))
	same.HTTP = "127.0.0.1:0"
	if _, _, h := healthz(t, s.start(t, same)); h.Services[0].Scripts != hash || h.Services[0].Modules != 2 {
		t.Errorf("the same scripts have the hashes %s and %s", hash, h.Services[0].Scripts)
	}
	// Players are those of the directory.
	s.eventually(t, "/healthz has the players of the directory", func() bool {
		service.instances[0].entry.Update(func(e *discovery.Instance) { e.Players = 7 })
		_, _, h := healthz(t, service)
		return h.Services[0].Players == 7
	})
	if _, err := s.cluster.Bus.Admin(t.Context(), "game", "a", "drain", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, h := healthz(t, service); h.Services[0].State != discovery.Draining || !h.Healthy {
		t.Errorf("while it drains: %+v", h)
	}
	for _, of := range []string{"shard", "phase", "epoch", "tick", "last_seq", "debt", "clients"} {
		if v, ok := fields[of]; ok {
			t.Errorf("a service reports %s %v", of, v)
		}
	}

	c = s.config("door", nil)
	c.Instance, c.HTTP, c.TCP, c.Services, c.Gateway = "", "127.0.0.1:0", "127.0.0.1:0", nil, &Gateway{}
	door, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Stop() })
	code, fields, h = healthz(t, door)
	if code != http.StatusOK || h.Gateway == nil || h.Gateway.Instance != "gateway-door" || h.Services != nil || h.ShardHealth != nil {
		t.Errorf("a gateway: %d %v", code, fields)
	}
}
