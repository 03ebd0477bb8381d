package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// listenHTTP opens /healthz, /metrics and, where clients are let in, /ws.
func (n *Node) listenHTTP(addr string) error {
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

// healthz answers 200 while the node runs its shard or waits for it, 503 when it does neither any more.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	s := n.Stats()
	failures := uint64(0) // of systems and commands; the log and /metrics have their names
	for _, count := range s.Host.Failures {
		failures += count
	}
	w.Header().Set("Content-Type", "application/json")
	select {
	case <-n.done:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"shard": n.config.Shard, "node": n.config.ID, "phase": s.Host.Phase, "epoch": s.Host.Epoch,
		"tick": s.Host.Tick, "last_seq": s.Host.LastSeq, "debt": s.Host.Debt, "clients": s.Clients.Clients,
		"failures": failures,
	})
}
