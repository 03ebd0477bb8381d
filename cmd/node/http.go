package node

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ferris1/wind/netcode"
)

// listenHTTP serves /healthz, /metrics and, if clients may connect, /ws.
func (n *Node) listenHTTP(addr string) error {
	if n.config.admits() { // by /ws
		if err := netcode.Loopback(addr); err != nil && !n.config.Insecure && n.config.TLS == nil {
			return listenError(fmt.Errorf("http: %w", err))
		}
		n.warnOpen("http", addr, n.config.TLS != nil)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return listenError(fmt.Errorf("http: %w", err))
	}
	n.registry.MustRegister(collectors.NewGoCollector())
	if !n.config.NoShard || n.config.Capacity > 0 {
		n.registry.MustRegister(newCollector(n))
	}
	if n.config.Capacity > 0 {
		n.registry.MustRegister(newRoomCollector(n))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", n.healthz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	if n.door != nil {
		mux.Handle("GET /ws", n.door.WebSocket())
	}
	n.http = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(n.config.Logger.Handler(), slog.LevelDebug)}
	n.httpAddr = l.Addr().String()
	if n.config.TLS != nil {
		l = tls.NewListener(l, n.config.TLS.ServerConfig("http/1.1")) // a WebSocket needs it
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = n.http.Serve(l) // returns ErrServerClosed after Close
	}()
	n.onClose(func() error {
		err := n.http.Close()
		<-served
		return err
	})
	return nil
}
