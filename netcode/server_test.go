package netcode_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/netcode/wirepb"
)

// safeBuffer collects a log that is read while it grows.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func tryDial(t testing.TB, cfg client.Config) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return client.Dial(ctx, cfg)
}

func send(t testing.TB, c *client.Client, n int64) client.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := c.Send(ctx, client.Do("add", Add{n}))
	if err != nil {
		t.Fatalf("add %d: %v", n, err)
	}
	return r
}

// transports runs a test over UDP and over TCP.
func transports(t *testing.T, f func(t *testing.T, h *host, cfg client.Config)) {
	t.Run("udp", func(t *testing.T) {
		h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
		f(t, h, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	})
	t.Run("tcp", func(t *testing.T) {
		h := serve(t, game, netcode.Config{TCP: "127.0.0.1:0"}, &memory{}, 1)
		f(t, h, client.Config{Addr: h.server.TCPAddr().String(), Transport: client.TCP, Identity: "ann"})
	})
}

func TestClientPlays(t *testing.T) {
	transports(t, func(t *testing.T, h *host, cfg client.Config) {
		var mu sync.Mutex
		seen := map[uint64]uint64{}
		events := 0
		cfg.OnUpdate = func(u client.Update) {
			mu.Lock()
			defer mu.Unlock()
			seen[u.Tick] = u.Checksum
			if u.Epoch != 1 || u.Durable != u.Tick {
				t.Errorf("tick %d has epoch %d and durable seq %d", u.Tick, u.Epoch, u.Durable)
			}
		}
		cfg.OnEvent = func(e client.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Name == "added" {
				events += e.Count
			}
		}
		c := dial(t, cfg)
		if r := send(t, c, 5); r.Rejected || r.Tick == 0 {
			t.Errorf("add 5: %+v", r)
		}
		if r := send(t, c, 13); !r.Rejected || r.Reason != "unlucky" {
			t.Errorf("add 13: %+v", r)
		}
		if r := send(t, c, -1); !r.Rejected || r.Tick != 0 {
			t.Errorf("an invalid command: %+v", r)
		}
		if r := send(t, c, 7); r.Rejected {
			t.Errorf("add 7: %+v", r)
		}
		if err := c.SetInput(client.Do("steer", Steer{X: 1})); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the client sees itself move and its sum", func() bool {
			b, p, ok := body(c)
			return ok && b.Sum == 12 && p.X > 30 && b.Presses > 30
		})
		mu.Lock()
		defer mu.Unlock()
		if events != 2 {
			t.Errorf("%d events, want 2", events)
		}
		if len(seen) < 10 {
			t.Errorf("updates of %d ticks", len(seen))
		}
		for tick, sum := range seen {
			if want, ok := h.checksum(tick); !ok || sum != want {
				t.Errorf("tick %d: checksum %x, the log has %x (%v)", tick, sum, want, ok)
			}
		}
	})
}

func TestInputsComeInTime(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	c := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	_ = c.SetInput(client.Do("steer", Steer{X: 1}))
	// On a machine that is busy with other things some windows are bad. If the
	// clock does not adjust, all of them are.
	from := h.server.Stats()
	eventually(t, "60 inputs, at most 6 of them late", func() bool {
		s := h.server.Stats()
		switch {
		case s.InputsLate > from.InputsLate+6:
			from = s
		case s.Inputs >= from.Inputs+60:
			return true
		}
		return false
	})
	if s := h.server.Stats(); s.InputsInvalid > 0 {
		t.Errorf("%+v", s)
	}
}

func TestJoinThatTheGameRefusesEndsWithItsReason(t *testing.T) {
	transports(t, func(t *testing.T, h *host, cfg client.Config) {
		cfg.Identity = "banned"
		_, err := tryDial(t, cfg)
		var bye *client.ByeError
		if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_REFUSED || bye.Text != "you are banned" {
			t.Errorf("got %v", err)
		}
	})
}

func TestLeavingEndsTheSessionInTheWorld(t *testing.T) {
	transports(t, func(t *testing.T, h *host, cfg client.Config) {
		c := dial(t, cfg)
		cfg.Identity = "bob"
		watcher := dial(t, cfg)
		entities := func() (n int) {
			watcher.View(func(v *client.View) { n = v.Len() })
			return n
		}
		eventually(t, "two bodies in sight", func() bool { return entities() == 2 })
		c.Close()
		eventually(t, "one body in sight", func() bool { return entities() == 1 })
		eventually(t, "one session left", func() bool { s := h.server.Stats(); return s.Sessions == 1 && s.Clients == 1 })
	})
}

func TestResumeOnASuccessor(t *testing.T) {
	transports(t, func(t *testing.T, h *host, cfg client.Config) {
		c := dial(t, cfg)
		session := c.Session()
		send(t, c, 1)
		_ = c.SetInput(client.Do("steer", Steer{X: 1}))

		// The node dies without a word. Its successor has the log.
		h.halt()
		address := h.server.UDPAddr()
		next := netcode.Config{}
		if cfg.Transport == client.TCP {
			address = h.server.TCPAddr()
			next.TCP = address.String()
		} else {
			next.UDP = address.String()
		}
		h.server.Disown(nil)
		h.server.Close()
		successor := serve(t, game, next, h.log, 2)

		for i := int64(2); i < 13; i++ {
			if r := send(t, c, i); r.Rejected {
				t.Fatalf("add %d: %+v", i, r)
			}
		}
		if c.Session() != session {
			t.Errorf("session %d became %d", session, c.Session())
		}
		eventually(t, "every command counted once", func() bool { b, _, _ := body(c); return b.Sum == 78 })
		s := c.Stats()
		if s.Resumes != 1 || s.Rejoins != 0 {
			t.Errorf("%+v", s)
		}
		if got := successor.server.Stats(); got.SessionsResumed != 1 || got.SessionsJoined != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestOneOfTwoConnectionsKeepsTheSession(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0"}, &memory{}, 1)
	first := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	token := first.ResumeToken()
	second := dial(t, client.Config{Addr: h.server.TCPAddr().String(), Transport: client.TCP, Identity: "ann", Resume: &token})
	<-first.Done()
	var bye *client.ByeError
	if !errors.As(first.Err(), &bye) || bye.Reason != wirepb.Reason_REASON_REPLACED {
		t.Errorf("the first ended with %v", first.Err())
	}
	if second.Session() != token.Session {
		t.Error("the second got another session")
	}
	if r := send(t, second, 3); r.Rejected {
		t.Errorf("%+v", r)
	}
}

func TestResumeIsRefusedWithoutTheToken(t *testing.T) {
	var log safeBuffer
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))}, &memory{}, 1)
	c := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	for name, change := range map[string]func(*client.ResumeToken) wirepb.Reason{
		"a wrong token": func(k *client.ResumeToken) wirepb.Reason {
			k.Token = make([]byte, 16)
			return wirepb.Reason_REASON_BAD_TOKEN
		},
		"no token":           func(k *client.ResumeToken) wirepb.Reason { k.Token = nil; return wirepb.Reason_REASON_BAD_TOKEN },
		"an unknown session": func(k *client.ResumeToken) wirepb.Reason { k.Session++; return wirepb.Reason_REASON_UNKNOWN_SESSION },
		"a tick of another history": func(k *client.ResumeToken) wirepb.Reason {
			k.LastTick += 1 << 40
			return wirepb.Reason_REASON_AHEAD_OF_LOG
		},
	} {
		token := c.ResumeToken()
		want := change(&token)
		_, err := tryDial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "eve", Resume: &token, NoRejoin: true})
		var bye *client.ByeError
		if !errors.As(err, &bye) || bye.Reason != want {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if n := h.server.Stats().AheadOfLog; n != 1 {
		t.Errorf("%d clients ahead of the log were reported", n)
	}
	for range 3 { // a client can claim any tick: it must not be able to raise an alarm, or to fill the log
		token := c.ResumeToken()
		token.LastTick = 1 << 40
		if _, err := tryDial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "eve", Resume: &token, NoRejoin: true}); err == nil {
			t.Fatal("a client from the future resumes")
		}
	}
	if text := log.String(); h.server.Stats().AheadOfLog != 4 || strings.Count(text, "a client claims a tick that is missing from the log") != 1 || strings.Contains(text, "level=ERROR") {
		t.Errorf("%d claims were counted, the log says\n%s", h.server.Stats().AheadOfLog, text)
	}
	if r := send(t, c, 3); r.Rejected {
		t.Errorf("the session's own client was disturbed: %+v", r)
	}
}

func TestSessionLeavesAfterTheGracePeriod(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", IdleTimeout: 300 * time.Millisecond}, &memory{}, 1,
		func(c *session.Config) { c.ResumeGrace = 300 * time.Millisecond })
	c := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	c.Abandon()
	eventually(t, "the session is gone", func() bool { return h.server.Stats().Sessions == 0 })
	token := c.ResumeToken()
	d := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann", Resume: &token})
	if d.Session() == token.Session {
		t.Error("a session id was used again")
	}
}

func TestFullShardRefusesAndLetsInWhenSomebodyLeaves(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1, func(c *session.Config) { c.MaxSessions = 3 })
	var all []*client.Client
	for i := range 3 {
		all = append(all, dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: fmt.Sprint("p", i)}))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		// It keeps trying. At the second refusal it has recorded the first.
		for ctx.Err() == nil && h.server.Stats().RefusedBy["REASON_FULL"] < 2 {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	_, err := client.Dial(ctx, client.Config{Addr: h.server.UDPAddr().String(), Identity: "late"})
	var bye *client.ByeError
	if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_FULL {
		t.Errorf("got %v", err)
	}
	all[0].Close()
	dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "late"})
}

func TestClientWaitsWhileNobodyOwnsTheShard(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	c := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	send(t, c, 1)
	h.halt()
	h.server.Disown(errors.New("fenced"))
	eventually(t, "the client is sent away", func() bool { return h.server.Stats().Clients == 0 && c.Stats().Drops == 1 })
	h.server.Own(h.world, 2)
	h.epoch, h.stop, h.done = 2, make(chan struct{}), make(chan struct{})
	go h.run()
	send(t, c, 2)
	if s := c.Stats(); s.Resumes != 1 {
		t.Errorf("%+v", s)
	}
}

// TestAClientOfAnotherShardEndsWhenNobodyHasIt: it does not ask the same nodes again and again.
func TestAClientOfAnotherShardEndsWhenNobodyHasIt(t *testing.T) {
	one := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "one"}, &memory{}, 1)
	two := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "two"}, &memory{}, 1)
	a, b := one.server.UDPAddr().String(), two.server.UDPAddr().String()
	dial(t, client.Config{Addr: a, More: []string{a, b}, Identity: "finds it", Shard: "two"})
	_, err := tryDial(t, client.Config{Addr: a, More: []string{a, b}, Identity: "does not", Shard: "three"})
	var bye *client.ByeError
	if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_WRONG_SHARD || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client of a shard that nobody serves ends with %v", err)
	}
}

func TestOnlyLoopbackWithoutInsecure(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		if s, err := netcode.Listen(netcode.Config{UDP: address}); err == nil {
			s.Close()
			t.Errorf("UDP %s was taken", address)
		}
		if s, err := netcode.Listen(netcode.Config{TCP: address}); err == nil {
			s.Close()
			t.Errorf("TCP %s was taken", address)
		}
	}
	s, err := netcode.Listen(netcode.Config{UDP: "0.0.0.0:0", Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
