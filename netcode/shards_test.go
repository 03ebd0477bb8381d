package netcode_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/netcode/wirepb"
)

// behind starts another shard behind a host's front door.
func (h *host) behind(shard string) *host {
	h.t.Helper()
	s, err := session.New(h.server.Door, session.Config{Shard: shard})
	if err != nil {
		h.t.Fatal(err)
	}
	next := newHost(h.t, game, &memory{}, 1)
	next.server = server{h.server.Door, s}
	next.server.Own(next.world, 1)
	go next.run()
	h.t.Cleanup(next.halt)
	return next
}

// TestOneDoorServesManyShards: clients of each transport play in the shard that they name, or that their ticket names.
func TestOneDoorServesManyShards(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", TicketKey: ticketKey}, &memory{}, 1)
	shards := map[string]*host{"": h}
	for i := range 3 {
		shards[fmt.Sprint("room-", i)] = h.behind(fmt.Sprint("room-", i))
	}
	udp, tcp := h.server.UDPAddr().String(), h.server.TCPAddr().String()
	for name, at := range shards {
		clients := []*client.Client{
			dial(t, client.Config{Addr: udp, Identity: "ann", Shard: name}),
			dial(t, client.Config{Addr: tcp, Transport: client.TCP, Identity: "bob", Shard: name}),
		}
		if name != "" {
			ticket := seal(t, ticketKey, netcode.Ticket{Identity: "eve", Shard: name, Issued: time.Now(), Expires: time.Now().Add(time.Minute)})
			clients = append(clients, dial(t, client.Config{Addr: udp, Ticket: ticket}))
		}
		if s := at.server.Stats(); s.Sessions != len(clients) {
			t.Errorf("shard %q has %d sessions, want %d", name, s.Sessions, len(clients))
		}
		for _, c := range clients {
			from := c.Stats().Updates
			eventually(t, "updates of shard "+name, func() bool { return c.Stats().Updates > from+3 })
		}
	}
	_, err := tryDial(t, client.Config{Addr: udp, Identity: "ann", Shard: "nowhere"})
	var bye *client.ByeError
	if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_WRONG_SHARD {
		t.Errorf("a shard that is not here: %v", err)
	}
}

// TestAShardThatStandsStillStopsNoOther: one holds the lock of its sessions, the others' clients join and play.
func TestAShardThatStandsStillStopsNoOther(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	other := h.behind("room")
	udp := h.server.UDPAddr().String()
	stuck := dial(t, client.Config{Addr: udp, Identity: "ann"})
	h.halt() // its world stands still
	c := dial(t, client.Config{Addr: udp, Identity: "ann", Shard: "room"})
	from := c.Stats().Updates
	eventually(t, "the other shard goes on", func() bool { return c.Stats().Updates > from+10 })
	if s := other.server.Stats(); s.Sessions != 1 {
		t.Errorf("%d sessions", s.Sessions)
	}
	stuck.Close()
}

// TestAClientGoesWhereItsShardLives: over each transport, also when the shard has moved and when no node serves it yet.
func TestAClientGoesWhereItsShardLives(t *testing.T) {
	var mu sync.Mutex
	place := netcode.Place{Exists: true}
	locate := func(shard string) netcode.Place {
		mu.Lock()
		defer mu.Unlock()
		if shard != "room" {
			return netcode.Place{}
		}
		return place
	}
	front := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Shard: "main", Locate: locate}, &memory{}, 1)
	home := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Shard: "room"}, &memory{}, 1)
	dialed := make(chan *client.Client, 3)
	for _, cfg := range []client.Config{
		{Addr: front.server.UDPAddr().String(), Identity: "ann"},
		{Addr: front.server.TCPAddr().String(), Transport: client.TCP, Identity: "bob"},
		{Addr: overHTTP(t, front.server.Door), Transport: client.WebSocket, Identity: "eve"},
	} {
		cfg.Shard = "room"
		go func() {
			c, err := tryDial(t, cfg)
			if err != nil {
				t.Errorf("%v: %v", cfg.Transport, err)
			}
			dialed <- c
		}()
	}
	eventually(t, "no node serves the room", func() bool { return front.server.Stats().RefusedBy["REASON_NOT_OWNER"] >= 3 })
	mu.Lock()
	place.UDP, place.TCP, place.HTTP = home.server.UDPAddr().String(), home.server.TCPAddr().String(), overHTTP(t, home.server.Door)
	mu.Unlock()
	for range 3 {
		if c := <-dialed; c != nil {
			defer c.Close()
		}
	}
	if here, there := front.server.Stats().Sessions, home.server.Stats().Sessions; here != 0 || there != 3 {
		t.Errorf("%d sessions at the first node, %d where the room lives", here, there)
	}
	mu.Lock()
	place = netcode.Place{Exists: true, Ended: "the room has ended after tick 7"}
	mu.Unlock()
	for shard, want := range map[string]wirepb.Reason{"nowhere": wirepb.Reason_REASON_WRONG_SHARD, "room": wirepb.Reason_REASON_ENDED} {
		_, err := tryDial(t, client.Config{Addr: front.server.UDPAddr().String(), Identity: "ann", Shard: shard})
		var bye *client.ByeError
		if !errors.As(err, &bye) || bye.Reason != want {
			t.Errorf("shard %s: %v, want %v", shard, err, want)
		}
	}
}
