package netcode_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
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

// ponder is a command whose check waits at the gate with its number, if there is one.
type ponder struct{ N int32 }

// gate holds checks back.
type gate struct {
	once          sync.Once
	reached, open chan struct{}
}

var gates sync.Map // of int32 to *gate

func (p ponder) Validate() error {
	if g, ok := gates.Load(p.N); ok {
		g := g.(*gate)
		g.once.Do(func() { close(g.reached) })
		<-g.open
	}
	return nil
}

var slowGame = ecs.Game{Name: "slow-test", TickRate: 60, Setup: func(w *ecs.World) {
	ecs.Handle[ponder](w, "ponder", func(*ecs.Tick, *ecs.Cmd[ponder]) {})
}}

// TestAShardThatNeverGivesItsSessionsBackStopsNoOther: its tick hangs where it takes what its clients want. Meanwhile they
// send more; the clients of the other shard join, play and get their updates, and whoever asks for the one that hangs has
// an answer. Those that have joined it get answers to their pings, and stay.
func TestAShardThatNeverGivesItsSessionsBackStopsNoOther(t *testing.T) {
	h := serve(t, slowGame, netcode.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0"}, &memory{}, 1)
	other := h.behind("room")
	udp, tcp := h.server.UDPAddr().String(), h.server.TCPAddr().String()
	neighbour := dial(t, client.Config{Addr: udp, Identity: "ann", Shard: "room"})
	stuck := dial(t, client.Config{Addr: udp, Identity: "bob", DropAfter: time.Minute})
	post := func(n int32) {
		t.Helper()
		if _, err := stuck.Post(client.Do("ponder", ponder{n})); err != nil {
			t.Fatal(err)
		}
	}
	var patient []*client.Client // they hear nothing but answers to their pings
	for _, cfg := range []client.Config{{Addr: udp, Identity: "eve"}, {Addr: tcp, Transport: client.TCP, Identity: "fay"}} {
		patient = append(patient, dial(t, cfg))
	}
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	open := sync.OnceFunc(func() { close(g.open) })
	defer open()
	gates.Store(int32(7), g)
	defer gates.Delete(int32(7))
	post(7)
	<-g.reached
	for range 20 {
		post(1)
	}
	for _, cfg := range []client.Config{{Addr: udp, Identity: "cid", Shard: "room"}, {Addr: tcp, Transport: client.TCP, Identity: "dan", Shard: "room"}} {
		c := dial(t, cfg)
		from, near := c.Stats().Updates, neighbour.Stats().Updates
		eventually(t, "the other shard goes on", func() bool { return c.Stats().Updates > from+10 && neighbour.Stats().Updates > near+10 })
	}
	if s := other.server.Stats(); s.Sessions != 3 {
		t.Errorf("the other shard has %d sessions", s.Sessions)
	}

	h.server.Sessions.Stats() // returns
	h.server.SetHung(true)
	ctx, cancel := context.WithCancel(t.Context())
	dialed := make(chan error, 1)
	go func() {
		_, err := client.Dial(ctx, client.Config{Addr: udp, Identity: "eve"})
		dialed <- err
	}()
	eventually(t, "a client is turned away", func() bool { return h.server.Door.Stats().RefusedBy["REASON_NOT_OWNER"] > 0 })
	cancel()
	if err := <-dialed; err == nil {
		t.Error("a client has joined a shard that hangs")
	}
	h.server.SetHung(false)
	for _, c := range patient { // a ping leaves each second, and a client waits for three seconds for an answer
		last := c.Stats().RTT
		for i := range 4 {
			eventually(t, fmt.Sprintf("answer %d to a ping", i+1), func() bool {
				before := last
				last = c.Stats().RTT
				return last != before
			})
		}
		if s := c.Stats(); s.Drops != 0 || c.Err() != nil {
			t.Errorf("a client whose shard hangs: %+v, %v", s, c.Err())
		}
	}

	open()
	eventually(t, "the shard goes on with all that was sent", func() bool { return stuck.Stats().Replies == 21 })
	if s := stuck.Stats(); s.Drops != 0 {
		t.Errorf("%+v", s)
	}
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

// TestAClientFindsAShardThatMovesForLong: two nodes send it to and fro, more often than it follows at once.
func TestAClientFindsAShardThatMovesForLong(t *testing.T) {
	var there, back atomic.Value // where each sends it
	config := netcode.Config{UDP: "127.0.0.1:0", Shard: "main"}
	config.Locate = func(string) netcode.Place { return netcode.Place{Exists: true, UDP: there.Load().(string)} }
	front := serve(t, game, config, &memory{}, 1)
	config.Locate = func(string) netcode.Place { return netcode.Place{Exists: true, UDP: back.Load().(string)} }
	home := serve(t, game, config, &memory{}, 1)
	there.Store(home.server.UDPAddr().String())
	back.Store(front.server.UDPAddr().String())
	dialed := make(chan *client.Client, 1)
	go func() {
		c, err := tryDial(t, client.Config{Addr: front.server.UDPAddr().String(), Identity: "ann", Shard: "room"})
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	eventually(t, "the client is sent to and fro", func() bool {
		return front.server.Stats().RefusedBy["REASON_WRONG_SHARD"] > 5 && home.server.Stats().RefusedBy["REASON_WRONG_SHARD"] > 5
	})
	room := home.behind("room")
	if c := <-dialed; c != nil {
		defer c.Close()
	}
	if s := room.server.Stats(); s.Sessions != 1 {
		t.Errorf("the room has %d sessions", s.Sessions)
	}
}

// TestNobodySendsAClientToANodeThatIsDead: the others name it until they know better.
func TestNobodySendsAClientToANodeThatIsDead(t *testing.T) {
	dead, home := mute(t, client.UDP), serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "room"}, &memory{}, 1)
	var at atomic.Value
	at.Store(dead)
	front := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "main", Locate: func(string) netcode.Place {
		return netcode.Place{Exists: true, UDP: at.Load().(string)}
	}}, &memory{}, 1)
	dialed := make(chan *client.Client, 1)
	go func() {
		c, err := tryDial(t, client.Config{Addr: dead, More: []string{front.server.UDPAddr().String()}, Identity: "ann", Shard: "room"})
		if err != nil {
			t.Error(err)
		}
		dialed <- c
	}()
	asked := func() uint64 { return front.server.Stats().RefusedBy["REASON_WRONG_SHARD"] }
	eventually(t, "the client is sent to the dead node", func() bool { return asked() > 0 })
	began := time.Now()
	eventually(t, "it asks again", func() bool { return asked() > 3 })
	if took := time.Since(began); took > 5*time.Second { // each try of the dead node takes 2 s, and there would be five
		t.Errorf("it went back to the dead node: it took %v", took)
	}
	at.Store(home.server.UDPAddr().String())
	if c := <-dialed; c != nil {
		defer c.Close()
	}
}

// TestAClientRemembersWhereItsShardLived: the node that sent it there has died when it loses its connection.
func TestAClientRemembersWhereItsShardLived(t *testing.T) {
	home := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "room"}, &memory{}, 1)
	at := netcode.Place{Exists: true, UDP: home.server.UDPAddr().String()}
	front := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "main", Locate: func(string) netcode.Place { return at }}, &memory{}, 1)
	c := dial(t, client.Config{Addr: front.server.UDPAddr().String(), Identity: "ann", Shard: "room"})
	front.end()
	home.halt()
	home.server.Disown(errors.New("fenced"))
	home.server.Own(home.world, 2)
	home.epoch, home.stop, home.done = 2, make(chan struct{}), make(chan struct{})
	go home.run()
	eventually(t, "the client resumes its session", func() bool { return c.Stats().Resumes == 1 })
}

// TestWhoWantsAShardThatIsNotHereIsToldWhereToGo: also if the node waits to serve it.
func TestWhoWantsAShardThatIsNotHereIsToldWhereToGo(t *testing.T) {
	home := serve(t, game, netcode.Config{UDP: "127.0.0.1:0", Shard: "main"}, &memory{}, 1)
	at := netcode.Place{Exists: true, UDP: home.server.UDPAddr().String()}
	waits := listen(t, netcode.Config{UDP: "127.0.0.1:0", Shard: "main", Locate: func(string) netcode.Place { return at }})
	defer waits.Close()
	dial(t, client.Config{Addr: waits.UDPAddr().String(), Identity: "ann"})
	if s := home.server.Stats(); s.Sessions != 1 {
		t.Errorf("the shard has %d sessions", s.Sessions)
	}

	none, err := netcode.Listen(netcode.Config{UDP: "127.0.0.1:0", Locate: func(string) netcode.Place { return at }})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	_, err = tryDial(t, client.Config{Addr: none.UDPAddr().String(), Identity: "ann"})
	var bye *client.ByeError
	if !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_WRONG_SHARD || bye.Text != "this node has no shard of its own: name one, or show a ticket" {
		t.Errorf("no shard is named: %v", err)
	}
}
