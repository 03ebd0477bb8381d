package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/shard"
)

// listenHTTP opens /healthz, /metrics and, where clients are let in, /ws.
func (n *Node) listenHTTP(addr string) error {
	if n.clients != nil { // /ws lets them in
		if err := netcode.Loopback(addr); err != nil {
			return fmt.Errorf("http: %w", err)
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return listenError(fmt.Errorf("http: %w", err))
	}
	n.registry.MustRegister(collectors.NewGoCollector())
	if !n.config.NoShard {
		n.registry.MustRegister(newCollector(n))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", n.healthz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	if n.clients != nil {
		mux.Handle("GET /ws", n.clients.WebSocket())
	}
	n.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	n.httpAddr = l.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = n.http.Serve(l) // always ErrServerClosed: Close ends it
	}()
	n.onClose(func() error {
		err := n.http.Close()
		<-served
		return err
	})
	return nil
}

// healthz answers 200 while the node serves its shard or waits for the node that does, 503 while something keeps it from
// that. "conditions" says what, with the way out.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	s := n.Stats()
	failures := uint64(0) // of systems and commands; the log and /metrics have their names
	for _, count := range s.Host.Failures {
		failures += count
	}
	healthy := shard.Healthy(s.Conditions) && (n.config.NoShard || s.Host.Phase == shard.PhaseOwn.String() || waitsForOwner(s.Conditions))
	select {
	case <-n.done:
		healthy = false
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(Health{
		Healthy: healthy, Conditions: append([]shard.Condition{}, s.Conditions...), Shard: n.config.Shard, Node: n.config.ID, Addresses: n.addresses(), Phase: s.Host.Phase, Epoch: uint64(s.Host.Epoch),
		Tick: s.Host.Tick, LastSeq: uint64(s.Host.LastSeq), Debt: s.Host.Debt, Clients: s.Clients.Clients, Failures: failures,
	})
}

// waitsForOwner reports whether another node owns the shard, and this one is there in case that ends.
func waitsForOwner(all []shard.Condition) bool {
	return slices.ContainsFunc(all, func(c shard.Condition) bool { return c.Kind == shard.AwaitsOwner })
}

// Health is what /healthz answers.
type Health struct {
	Healthy    bool              `json:"healthy"`
	Conditions []shard.Condition `json:"conditions"` // what is the matter, the gravest first; empty when all is well
	Shard      string            `json:"shard"`
	Node       string            `json:"node"`
	Addresses  map[string]string `json:"addresses"` // where it listens, by transport
	Phase      string            `json:"phase"`
	Epoch      uint64            `json:"epoch"`
	Tick       uint64            `json:"tick"`
	LastSeq    uint64            `json:"last_seq"`
	Debt       int               `json:"debt"` // ticks that are overdue
	Clients    int               `json:"clients"`
	Failures   uint64            `json:"failures"`
}
