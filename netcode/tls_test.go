package netcode_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/cert"
	"github.com/ferris1/wind/netcode/client"
)

// encrypted returns a server whose TCP speaks TLS, and what a client must trust.
func encrypted(t *testing.T, c netcode.Config) (*host, *cert.Pair, *tls.Config) {
	t.Helper()
	pair, err := cert.SelfMade(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := cert.Pinned(pair.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	c.TCP, c.TLS = "127.0.0.1:0", pair.ServerConfig()
	return serve(t, game, c, &memory{}, 1), pair, trust
}

// TestClientsPlayOverTLS: over TCP and WebSocket, for those who trust the certificate and for no others.
func TestClientsPlayOverTLS(t *testing.T) {
	h, pair, trust := encrypted(t, netcode.Config{})
	l, err := tls.Listen("tcp", "127.0.0.1:0", pair.ServerConfig("http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: h.server.WebSocket(), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = web.Serve(l) }() // until Close
	defer web.Close()
	tcp, ws := h.server.TCPAddr().String(), "wss://"+l.Addr().String()
	refused := func(c client.Config) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c.Identity = "eve"
		x, err := client.Dial(ctx, c)
		if err == nil {
			x.Close()
			t.Errorf("a client of %s over %v joins", c.Addr, c.Transport)
			return nil
		}
		return err
	}
	moves := func(c *client.Client) {
		t.Helper()
		if err := c.SetInput(client.Do("steer", Steer{X: 0.5})); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the player moves", func() (moved bool) {
			c.View(func(v *client.View) {
				b, ok := client.Get[Body](v, v.Self(), "body")
				moved = ok && b.Presses > 3
			})
			return moved
		})
	}
	moves(dial(t, client.Config{Addr: tcp, Transport: client.TCP, Identity: "ann", TLS: trust}))
	moves(dial(t, client.Config{Addr: ws, Transport: client.WebSocket, Identity: "bob", TLS: trust}))

	other, _ := cert.Pinned(strings.Repeat("0", 64))
	for _, c := range []client.Config{
		{Addr: tcp, Transport: client.TCP, TLS: other},
		{Addr: ws, Transport: client.WebSocket, TLS: other},
		{Addr: tcp, Transport: client.TCP, TLS: &tls.Config{}},
		{Addr: tcp, Transport: client.TCP},
	} {
		_ = refused(c)
	}
	plain := serve(t, game, netcode.Config{TCP: "127.0.0.1:0"}, &memory{}, 1)
	if err := refused(client.Config{Addr: plain.server.TCPAddr().String(), Transport: client.TCP, TLS: trust}); err != nil && !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("TLS to a server without: %v", err)
	}
	eventually(t, "those refused are gone", func() bool { return h.server.Stats().Connections == 2 })
}

// TestAHandshakeThatStopsEnds: who connects and says nothing, or half of a handshake, or no TLS at all, is gone after the time for the handshake, and
// costs the others nothing.
func TestAHandshakeThatStopsEnds(t *testing.T) {
	h, _, trust := encrypted(t, netcode.Config{HandshakeTimeout: time.Second})
	addr := h.server.TCPAddr().String()
	var whole []byte // a client's first message of TLS
	func() {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		go func() { _ = tls.Client(far, trust).Handshake() }()
		b := make([]byte, 4096)
		n, err := near.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		whole = b[:n]
	}()
	for what, sends := range map[string][]byte{"nothing": nil, "half": whole[:len(whole)/2], "hello alone": whole, "plain text": []byte("GET / HTTP/1.1\r\n\r\n"), "a frame": {1, 0, 0, 0, 0, 0, 0, 0}} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(sends); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
		b := make([]byte, 16<<10)
		for err == nil {
			_, err = c.Read(b)
		}
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			t.Errorf("who sends %s keeps the connection", what)
		}
	}
	eventually(t, "no connection is left", func() bool { return h.server.Stats().Connections == 0 })
	dial(t, client.Config{Addr: addr, Transport: client.TCP, Identity: "ann", TLS: trust})
}

// TestOtherMachinesNeedEncryption: UDP is for loopback, TCP for all with TLS, and Insecure allows both.
func TestOtherMachinesNeedEncryption(t *testing.T) {
	secure := &tls.Config{}
	for _, c := range []struct {
		config netcode.Config
		open   bool // is an error
	}{
		{netcode.Config{TCP: "0.0.0.0:0"}, true},
		{netcode.Config{TCP: "0.0.0.0:0", TLS: secure}, false},
		{netcode.Config{UDP: "0.0.0.0:0", TLS: secure}, true},
		{netcode.Config{UDP: "127.0.0.1:0", TCP: ":0", TLS: secure}, false},
		{netcode.Config{UDP: "0.0.0.0:0", TCP: "0.0.0.0:0", Insecure: true}, false},
	} {
		d, err := netcode.Listen(c.config)
		if err == nil {
			d.Close()
		}
		if errors.Is(err, netcode.ErrOpen) != c.open || err != nil && !c.open {
			t.Errorf("%s, %s, TLS %v: %v", c.config.UDP, c.config.TCP, c.config.TLS != nil, err)
		}
	}
}
