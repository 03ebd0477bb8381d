package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestServicesAndGatewaysSayThatServersAreAway kills NATS, then etcd, under a service and a gateway in processes of their own.
// Their /healthz names the server as long as it is away, with the same beginning, and is well again afterwards.
func TestServicesAndGatewaysSayThatServersAreAway(t *testing.T) {
	t.Parallel() // mostly waits
	s := startSites(t, "2s")
	all := map[string]*process{}
	begin := func(args ...string) {
		at := nodetest.Addr(t)
		all[at] = wind(t, append(args, "--game", "speak", "--nats", s.nats, "--etcd", s.etcd, "--http", at)...)
	}
	begin("service", "game")
	begin("gateway", "--tcp", "127.0.0.1:0")
	well := func(what string) {
		t.Helper()
		for at, p := range all {
			p.until(what, func() bool { h := healthOf(at); return h.Healthy && len(h.Conditions) == 0 })
		}
	}
	well("is well")
	for _, x := range []struct {
		server *seat
		kind   string
		status int
	}{{&s.natsSeat, "waiting-for-nats", http.StatusServiceUnavailable}, {&s.etcdSeat, "waiting-for-etcd", http.StatusOK}} {
		x.server.kill()
		for at, p := range all {
			p.until("says "+x.kind, func() bool { return healthOf(at).has(x.kind) })
		}
		first := map[string]health{}
		for at := range all {
			first[at] = healthOf(at)
		}
		for range 150 { // longer than a call to the server may take
			for at, p := range all {
				h := healthOf(at)
				if !h.has(x.kind) || h.Conditions[0].Since != first[at].Conditions[0].Since {
					t.Fatalf("%s: %s comes and goes: first %+v, then %+v", p.name, x.kind, first[at].Conditions, h.Conditions)
				}
				r, err := http.Get("http://" + at + "/healthz")
				if err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
				if r.StatusCode != x.status {
					t.Fatalf("%s: /healthz answers %d while %s, want %d", p.name, r.StatusCode, x.kind, x.status)
				}
				p.alive()
			}
			time.Sleep(50 * time.Millisecond) // one of many looks, not a wait for something
		}
		x.server.process = x.server.start()
		well("is well again")
	}
}
