package netcode_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
)

// mute starts a node that seems to die silently after Hello: it accepts connections and answers knocks, nothing else.
func mute(t *testing.T, transport client.Transport) string {
	t.Helper()
	var group sync.WaitGroup
	t.Cleanup(group.Wait)
	if transport == client.UDP {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		group.Go(func() {
			for b := make([]byte, 2048); ; {
				n, from, err := conn.ReadFromUDP(b)
				if err != nil {
					return
				}
				if kind, _, body, ok := frame.ParseDatagram(b[:n]); ok && kind == frame.DatagramKnock {
					nonce, _ := frame.ParseKnock(body)
					_, _ = conn.WriteToUDP(frame.AppendCookie(nil, nonce, make([]byte, frame.CookieSize)), from)
				}
			}
		})
		return conn.LocalAddr().String()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { _, _ = io.Copy(io.Discard, conn); conn.Close() })
		}
	})
	return listener.Addr().String()
}

func TestAClientGoesOnSoonWhenANodeDiesBehindItsHello(t *testing.T) {
	transports(t, func(t *testing.T, _ *host, cfg client.Config) {
		cfg.More = []string{cfg.Addr}
		cfg.Addr = mute(t, cfg.Transport)
		began := time.Now()
		dial(t, cfg)
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("a mute node held the client for %v", took)
		}
	})
}

// TestAClientStaysWithANodeThatAnswersPings: a node that cannot admit clients yet because its log stalls is not dead.
func TestAClientStaysWithANodeThatAnswersPings(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	h.mu.Lock()
	h.hold = true
	h.mu.Unlock()
	go func() {
		time.Sleep(3500 * time.Millisecond) // longer than a client waits for a mute node
		h.mu.Lock()
		h.hold = false
		h.mu.Unlock()
	}()
	dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	if s := h.server.Stats(); s.SessionsJoined != 1 {
		t.Errorf("%d sessions joined: the client began a new one", s.SessionsJoined)
	}
}

// TestAClientThatGetsNoSessionSaysWhatItTried: before its first attempt has ended, too.
func TestAClientThatGetsNoSessionSaysWhatItTried(t *testing.T) {
	closed := mute(t, client.TCP) // nothing answers over UDP
	for name, c := range map[string]struct {
		cfg  client.Config
		want []string
	}{
		"nobody listens": {client.Config{Addr: closed, More: []string{"127.0.0.1:1"}}, []string{closed + ", 127.0.0.1:1 over UDP", "; the last attempt: ", "refused"}},
		"a mute node":    {client.Config{Addr: closed, Transport: client.TCP}, []string{closed + " over TCP within ", "the first attempt has no answer yet"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := client.Dial(ctx, c.cfg)
		cancel()
		var none *client.DialError
		if !errors.As(err, &none) || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "deadline") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: no %q in %q", name, part, err)
			}
		}
	}
}
