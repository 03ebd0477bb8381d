package netcode_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/netcode/wirepb"
)

var ticketKey = []byte("0123456789abcdef")

func seal(t testing.TB, key []byte, k netcode.Ticket) []byte {
	t.Helper()
	b, err := netcode.SealTicket(key, k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func requireTicket(c *session.Config) { c.RequireTicket = true }

func TestATicketSaysWhoPlays(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Shard: "main", TicketKey: ticketKey}, &memory{}, 1, requireTicket)
	good := netcode.Ticket{Identity: "ann", Shard: "main", Issued: time.Now(), Expires: time.Now().Add(time.Minute)}
	for _, transport := range []client.Transport{client.UDP, client.TCP} {
		cfg := client.Config{Addr: h.server.UDPAddr().String(), Transport: transport, Shard: "main"}
		if transport == client.TCP {
			cfg.Addr = h.server.TCPAddr().String()
		}
		try := func(ticket []byte, identity string) error {
			cfg := cfg
			cfg.Ticket, cfg.Identity = ticket, identity
			c, err := tryDial(t, cfg)
			if err == nil {
				c.Close()
			}
			return err
		}
		if err := try(seal(t, ticketKey, good), ""); err != nil {
			t.Errorf("a good ticket: %v", err)
		}
		// The ticket's name counts: the game refuses players called banned.
		banned := good
		banned.Identity = "banned"
		if err := try(seal(t, ticketKey, banned), "ann"); err == nil || !strings.Contains(err.Error(), "you are banned") {
			t.Errorf("a banned player's ticket: %v", err)
		}
		other, late, forged := good, good, seal(t, ticketKey, good)
		other.Shard, late.Expires = "arena", time.Now().Add(-time.Second)
		forged[30] ^= 1
		for name, c := range map[string]struct {
			ticket []byte
			want   string
		}{
			"none":                 {nil, "a ticket is required"},
			"of another shard":     {seal(t, ticketKey, other), `is for shard "arena", not "main"`},
			"that has expired":     {seal(t, ticketKey, late), "expired"},
			"of another cluster":   {seal(t, []byte("fedcba9876543210"), good), "another cluster"},
			"with a flipped bit":   {forged, "another cluster"},
			"that is half a one":   {forged[:56], "malformed"},
			"that is far too long": {make([]byte, 5000), "malformed"},
		} {
			err := try(c.ticket, "ann")
			var bye *client.ByeError
			if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_BAD_TICKET || !strings.Contains(bye.Text, c.want) {
				t.Errorf("a ticket %s: %v, want %q", name, err, c.want)
			}
		}
	}
}

func TestATicketOpensOneSession(t *testing.T) {
	log := &memory{}
	config := netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Shard: "main", TicketKey: ticketKey}
	h := serve(t, game, config, log, 1, requireTicket)
	ticket := func() []byte {
		return seal(t, ticketKey, netcode.Ticket{Identity: "ann", Shard: "main", Issued: time.Now(), Expires: time.Now().Add(time.Minute)})
	}
	refused := func(when string, h *host, b []byte, want string) {
		t.Helper()
		c, err := tryDial(t, client.Config{Addr: h.server.TCPAddr().String(), Transport: client.TCP, Ticket: b})
		var bye *client.ByeError
		if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_BAD_TICKET || !strings.Contains(bye.Text, want) {
			t.Errorf("%s: %v", when, err)
		}
		if c != nil {
			c.Close()
		}
	}
	used, spare, leaves := ticket(), ticket(), ticket()
	first := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Ticket: used})
	refused("while its session plays", h, used, "has already been used")
	other := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Ticket: leaves})
	other.Close()
	eventually(t, "the session has left", func() bool { return h.server.Stats().Sessions == 1 })
	refused("when its session has left", h, leaves, "has already been used")
	resume := first.Abandon()
	h.end()
	next := serve(t, game, config, log, 2, requireTicket)
	refused("on a successor", next, used, "has already been used")
	refused("on a successor, when its session has left", next, leaves, "may have been used")
	refused("on a successor, an unused one", next, spare, "may have been used")
	dial(t, client.Config{Addr: next.server.UDPAddr().String(), Ticket: ticket()})
	dial(t, client.Config{Addr: next.server.UDPAddr().String(), Resume: &resume})
}

func TestAResumedSessionNeedsNoTicket(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "main", TicketKey: ticketKey}, &memory{}, 1, requireTicket)
	ticket := seal(t, ticketKey, netcode.Ticket{Identity: "ann", Shard: "main", Issued: time.Now(), Expires: time.Now().Add(time.Second)})
	first := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Ticket: ticket})
	resume := first.Abandon()
	eventually(t, "the ticket has expired", func() bool { _, err := netcode.OpenTicket(ticketKey, ticket, time.Now()); return err != nil })
	second := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Resume: &resume})
	if second.Session() != first.Session() {
		t.Errorf("session %d, was %d", second.Session(), first.Session())
	}
}

func TestWithoutAKeyNoTicketIsBelieved(t *testing.T) {
	h := serve(t, game, netcode.Config{TCP: "127.0.0.1:0"}, &memory{}, 1)
	cfg := client.Config{Addr: h.server.TCPAddr().String(), Transport: client.TCP, Identity: "ann"}
	cfg.Ticket = seal(t, ticketKey, netcode.Ticket{Identity: "ann", Issued: time.Now(), Expires: time.Now().Add(time.Minute)})
	_, err := tryDial(t, cfg)
	var bye *client.ByeError
	if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_BAD_TICKET {
		t.Errorf("%v", err)
	}
	h.server.SetTicketKey(ticketKey)
	dial(t, cfg)
	cfg.Ticket = nil
	dial(t, cfg) // works as before
}

func TestAShortTicketKeyIsRefused(t *testing.T) {
	if s, err := netcode.Listen(netcode.Config{TCP: "127.0.0.1:0", TicketKey: []byte("short")}); err == nil {
		s.Close()
		t.Error("taken")
	}
	if _, err := netcode.SealTicket([]byte("short"), netcode.Ticket{Identity: "a"}); err == nil {
		t.Error("sealed")
	}
}

func TestTicketBytesAreGolden(t *testing.T) {
	k := netcode.Ticket{Session: 0x0102030405060708, Identity: "ann", Shard: "main", Issued: time.UnixMilli(1_700_000_000_000), Expires: time.UnixMilli(1_700_000_000_123), UDP: "10.0.0.1:7777", TCP: "10.0.0.1:7778"}
	got := seal(t, ticketKey, k)
	const want = "027b68e5cf8b0100000068e5cf8b010000080706050403020103616e6e046d61696e0d31302e302e302e313a373737370d31302e302e302e313a37373738"
	body, mac := hex.EncodeToString(got[:len(got)-32]), hex.EncodeToString(got[len(got)-32:])
	if body != want || mac != ticketMAC {
		t.Errorf("%s %s", body, mac)
	}
	back, err := netcode.OpenTicket(ticketKey, got, k.Expires)
	if err != nil || !back.Expires.Equal(k.Expires) || back.Identity != "ann" || !back.Issued.Equal(k.Issued) || back.Session != k.Session || back.Shard != "main" || back.UDP != k.UDP || back.TCP != k.TCP {
		t.Errorf("%+v, %v", back, err)
	}
}

// ticketMAC was computed with another program.
const ticketMAC = "be6f5c1b5ca58a9db672e5c0104430f803d331eb63f90c3688261344b21322e7"

func FuzzTicket(f *testing.F) {
	good, _ := netcode.SealTicket(ticketKey, netcode.Ticket{Identity: "ann", Shard: "main", Expires: time.UnixMilli(1_700_000_000_123)})
	f.Add(good)
	f.Add(good[:61])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := netcode.OpenTicket(ticketKey, b, time.UnixMilli(1_700_000_000_123))
		if err == nil && !bytes.Equal(seal(t, ticketKey, k), b) {
			t.Errorf("%x opens as %+v, which seals differently", b, k)
		}
	})
}
