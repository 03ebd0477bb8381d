package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/wirepb"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/room"
)

// host returns the configuration of a node that hosts rooms of match.
func (s *servers) host(id string) Config {
	return Config{
		Game: match, NATS: s.NATSURL(), Etcd: s.EtcdURL(), ID: id, Shard: "main-" + id, UDP: "127.0.0.1:0", TCP: "127.0.0.1:0",
		Lease: 2 * time.Second, LogBytes: 64 << 20, DeltaBytes: 64 << 20, Capacity: 1000, Labels: map[string]string{"region": "eu"}, Fast: true, Logger: slog.New(slog.DiscardHandler),
	}
}

// opens starts a node that hosts rooms.
func (s *servers) opens(t *testing.T, c Config) *Node {
	t.Helper()
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	s.eventually(t, c.ID+" answers for rooms", func() bool {
		for _, i := range s.cluster.Directory.Instances(rpc.RoomsType) {
			if i.Node == c.ID {
				return true
			}
		}
		return false
	})
	return n
}

// refused checks an error.
func refused(t *testing.T, err error, code rpc.Code, maybe bool, texts ...string) {
	t.Helper()
	e := rpc.ErrorOf(err)
	if e == nil || e.Code != code || e.Maybe != maybe {
		t.Errorf("%+v, want %v, maybe %v", e, code, maybe)
		return
	}
	for _, text := range texts {
		if !strings.Contains(e.Text, text) {
			t.Errorf("%q lacks %q", e.Text, text)
		}
	}
}

// briefly ends soon, so that a request that nobody can fulfil fails soon.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestARoomThatNoNodeTakesSaysWhy: no game, no label, no capacity. It stays wanted, and the same request finds it once a node
// has room.
func TestARoomThatNoNodeTakesSaysWhy(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	c := s.cluster.Rooms("")
	_, err := c.Create(briefly(t), asked(rpc.RoomSpec{}))
	refused(t, err, rpc.Unavailable, false, "no node that hosts rooms answers")

	full := s.host("anna")
	full.Capacity = 0.001
	s.opens(t, full)
	first, err := c.Create(soon(t), asked(rpc.RoomSpec{}))
	if err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "anna is full", func() bool { // measured
		_, err = c.Create(briefly(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "match", Key: "waits"}, Wait: new(rpc.Duration(time.Millisecond))})
		return rpc.ErrorOf(err) != nil && rpc.ErrorOf(err).Code == rpc.ResourceExhausted
	})
	timedOut := err
	refused(t, timedOut, rpc.ResourceExhausted, true, "is wanted, but no node has taken it", "node anna is full")
	_, err = c.Create(briefly(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "chess", Key: "chess"}, Wait: new(rpc.Duration(time.Millisecond))})
	refused(t, err, rpc.FailedPrecondition, true, "node anna runs the game match")
	_, err = c.Create(briefly(t), asked(rpc.RoomSpec{Labels: map[string]string{"region": "us"}, Key: "us"}))
	refused(t, err, rpc.FailedPrecondition, true, "node anna does not have the label region=us")

	wanted, err := c.List(soon(t), rpc.RoomFilter{State: "wanted"})
	if err != nil || len(wanted) != 3 {
		t.Fatalf("%d rooms are wanted, %v", len(wanted), err)
	}
	for _, r := range wanted {
		alone, err := c.List(soon(t), rpc.RoomFilter{Rooms: []string{r.ID}})
		want := map[string]string{"waits": "node anna is full", "chess": "node anna runs the game match", "us": "node anna does not have the label region=us"}[r.Spec.Key]
		if err != nil || len(alone) != 1 || !strings.Contains(alone[0].Why, want) || r.Why != "" {
			t.Errorf("%s: %+v, %v, want why to say %q", r.Spec.Key, alone, err, want)
		}
	}
	s.opens(t, s.host("bert"))
	waits, err := c.Create(soon(t), asked(rpc.RoomSpec{Key: "waits"}))
	if err != nil || waits.Node != "bert" || waits.ID == first.ID || !strings.Contains(timedOut.Error(), waits.ID) {
		t.Fatalf("%+v, %v, after %v", waits, err, timedOut)
	}
	s.eventually(t, "both rooms are listed as running", func() bool { // any node may answer, also one that has not heard of the second
		running, err := c.List(soon(t), rpc.RoomFilter{State: "running"})
		return err == nil && len(running) == 2
	})

	// An operator may close a room that never ran: no node takes it afterwards.
	closed, err := c.Close(soon(t), wanted[0].ID)
	for _, r := range wanted {
		if r.Spec.Game == "chess" {
			closed, err = c.Close(soon(t), r.ID)
		}
	}
	if err != nil || closed.State != "sealed" || closed.End.Tick != 0 || closed.End.Reason != "closed" {
		t.Errorf("%+v, %v", closed, err)
	}
	_, err = c.Ticket(soon(t), closed.ID, "ann")
	refused(t, err, rpc.FailedPrecondition, false, "is over")
	_, err = c.Close(soon(t), "r-nowhere")
	refused(t, err, rpc.NotFound, false, "no room r-nowhere")
}

// TestATicketAdmitsItsPlayerOnce: each player of a request gets one, and it opens one session in that room, for that player.
func TestATicketAdmitsItsPlayerOnce(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	s.opens(t, s.host("anna"))
	c := s.cluster.Rooms("lobby/lobby-1")
	q := asked(rpc.RoomSpec{Key: "one"})
	q.Players = []string{"ann", "ben"}
	made, err := c.Create(soon(t), q)
	if err != nil || len(made.Tickets) != 2 || made.Spec.By != "lobby/lobby-1" {
		t.Fatalf("%+v, %v", made, err)
	}
	other, err := c.Create(soon(t), asked(rpc.RoomSpec{}))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(k rpc.RoomTicket, shard string) (*client.Client, error) {
		return client.Dial(soon(t), client.Config{Addr: k.Addresses["udp"], Shard: shard, Ticket: k.Ticket})
	}
	bad := func(what string, k rpc.RoomTicket, shard string) {
		t.Helper()
		var bye *client.ByeError
		if p, err := dial(k, shard); !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_BAD_TICKET {
			t.Errorf("%s: %v", what, err)
			if p != nil {
				p.Close()
			}
		}
	}
	bad("into another room", made.Tickets["ben"], other.ID)
	for name, k := range made.Tickets {
		p, err := dial(k, "")
		if err != nil {
			t.Fatal(name, err)
		}
		defer p.Close()
		bad("used again, by "+name, k, "")
	}
	if p, err := client.Dial(soon(t), client.Config{Addr: other.Addresses["udp"], Shard: made.ID, Identity: "eve", Ticket: []byte("forged")}); err == nil {
		p.Close()
		t.Error("a forged ticket admits")
	}
	in, err := c.List(soon(t), rpc.RoomFilter{Rooms: []string{made.ID}, Players: true})
	if err != nil || len(in) != 1 || in[0].Occupancy == nil || in[0].Occupancy.Sessions != 2 {
		t.Fatalf("%+v, %v", in, err)
	}
	if names := strings.Join(in[0].Occupancy.Players, " "); names != "ann ben" && names != "ben ann" {
		t.Errorf("the room has %s", names)
	}

	// Asked again, the players get other tickets; so does one who asks alone.
	again, err := c.Create(soon(t), q)
	if err != nil || again.ID != made.ID || string(again.Tickets["ann"].Ticket) == string(made.Tickets["ann"].Ticket) {
		t.Errorf("%+v, %v", again, err)
	}
	k, err := c.Ticket(soon(t), made.ID, "cyd")
	if err != nil {
		t.Fatal(err)
	}
	p, err := dial(*k, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	standing, err := c.Ticket(soon(t), "main-anna", "cyd")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = dial(*standing, ""); err != nil {
		t.Fatal("into a standing shard:", err)
	}
	p.Close()
	for _, name := range []string{"", " x", strings.Repeat("x", 65)} {
		_, err := c.Ticket(soon(t), made.ID, name)
		refused(t, err, rpc.InvalidArgument, false, "player")
	}
}

// matchmaker asks for rooms in Go.
type matchmaker struct{}

func (matchmaker) CreateRoleRequest(c *service.Ctx, r *speakpb.CreateRoleRequest) (*speakpb.CreateRoleResponse, error) {
	made, err := c.Rooms().Create(c, rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "match", Key: r.PlayerId}, Players: []string{"ann"}})
	if err != nil {
		return nil, err
	}
	all, err := c.Rooms().List(c, rpc.RoomFilter{Rooms: []string{made.ID}})
	return &speakpb.CreateRoleResponse{PlayerId: made.ID + " by " + made.Spec.By, RoleId: int32(len(all)), Result: len(made.Tickets["ann"].Ticket) > 0}, err
}

// TestHandlersAskForRooms: in Go and in Starlark, over NATS, one key makes one room for both.
func TestHandlersAskForRooms(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	c := s.host("anna")
	c.Services = []Service{{Type: "game", Files: []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto}, Handlers: func() (client, server []any) { return nil, []any{matchmaker{}} }}}
	c.Scripts = fstest.MapFS{"game/handlers_server/lobby.star": {Data: []byte(`
def Handler_SpeakOnWorldRequest(caller, request):
    made = room.create("match", key = request.content, players = ["ann"])
    ticket = room.ticket(made["room"], "ben")
    closed = room.close(made["room"])
    return SpeakOnWorldResponse(name = made["room"] + " by " + made["spec"]["by"], content = "%s %s %s" % (
        closed["end"]["by"], len(ticket["ticket"]) > 0 and len(made["tickets"]) == 1, [r["room"] for r in room.list(state = "sealed")] == [made["room"]]))
`)}}
	s.opens(t, c)
	ask := func(message, payload string) (answer struct {
		Name, Content string
		PlayerID      string `json:"player_id"`
		RoleID        int    `json:"role_id"`
		Result        bool
	},
	) {
		t.Helper()
		a, err := s.cluster.Bus.Call(soon(t), rpc.Address{Type: "game"}, rpc.Request{Message: message, Format: rpc.JSON, Payload: []byte(payload), From: "test/1", Timeout: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(a.Payload, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	inGo := ask("CreateRoleRequest", `{"player_id": "match-1"}`)
	inScript := ask("SpeakOnWorldRequest", `{"content": "match-1"}`)
	if !inGo.Result || inGo.RoleID != 1 || inGo.PlayerID != inScript.Name || !strings.HasSuffix(inGo.PlayerID, " by game/game-anna") {
		t.Errorf("in Go %+v, in Starlark %+v", inGo, inScript)
	}
	if inScript.Content != "game/game-anna True True" {
		t.Errorf("in Starlark %+v", inScript)
	}
	a, err := s.cluster.Bus.Call(soon(t), rpc.Address{Type: rpc.RoomsType}, rpc.Request{Message: "RoomCreateRequest", Format: rpc.JSON, Payload: []byte(`{"gane": "match"}`)})
	refused(t, err, rpc.InvalidArgument, false, `unknown field "gane"`)
	if err == nil {
		t.Error(string(a.Payload))
	}
}

// TestChangesAreHeard: whoever watches hears of each room's last state, whichever node it asks.
func TestChangesAreHeard(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	s.opens(t, s.host("anna"))
	s.opens(t, s.host("bert"))
	c := s.cluster.Rooms("")
	const rooms = 12
	heard := map[string]string{}
	done := make(chan error, 1)
	ctx := soon(t)
	go func() {
		for after := int64(0); len(heard) < rooms; {
			changed, next, err := c.Changes(ctx, rpc.RoomFilter{State: "sealed"}, after)
			if err != nil || ctx.Err() != nil {
				done <- errors.Join(err, ctx.Err())
				return
			}
			for _, r := range changed {
				if heard[r.ID] != "" {
					done <- fmt.Errorf("room %s is heard of twice: %+v", r.ID, r)
					return
				}
				heard[r.ID] = string(r.End.Result)
			}
			after = next
		}
		done <- nil
	}()
	for i := range rooms {
		if _, err := c.Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":20}`), Seed: uint64(i + 1)})); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err, heard)
	}

	// Page by page, each room comes once, by its id or by its change.
	for _, q := range []rpc.RoomList{{Most: 5}, {Most: 5, Watch: true}} {
		seen := map[string]bool{}
		for {
			payload, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.cluster.Bus.Call(soon(t), rpc.Address{Type: rpc.RoomsType}, rpc.Request{Message: "RoomListRequest", Format: rpc.JSON, Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			var a rpc.RoomListed
			if err := json.Unmarshal(answer.Payload, &a); err != nil {
				t.Fatal(err)
			}
			for _, r := range a.Rooms {
				if seen[r.ID] {
					t.Errorf("%+v lists %s twice", q, r.ID)
				}
				seen[r.ID] = true
			}
			if len(a.Rooms) > 5 || a.More != (len(seen) < rooms) {
				t.Fatalf("%+v lists %d rooms, then more: %v", q, len(a.Rooms), a.More)
			}
			if !a.More {
				break
			}
			last := a.Rooms[len(a.Rooms)-1]
			q.After, q.Since = last.ID, last.Revision
		}
		if len(seen) != rooms {
			t.Errorf("%+v lists %d rooms", q, len(seen))
		}
	}
}

// oneRevision is a source in which all rooms have changed at once, as they seem to after an outage.
type oneRevision struct{ rooms int }

func (oneRevision) String() string { return "rooms of one revision" }

func (o oneRevision) List(context.Context) (all []discovery.Entry, revision int64, err error) {
	for i := range o.rooms {
		all = append(all, discovery.Entry{Key: fmt.Sprintf("r-%02d/spec", i), Value: []byte(`{"game":"match"}`), Revision: 7})
	}
	return all, 7, nil
}

func (oneRevision) Watch(ctx context.Context, _ int64, _ func(discovery.Changes)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (oneRevision) Revision(context.Context) (int64, error) { return 7, nil }

// TestRoomsThatChangeAtOnceAreAllListed, though one answer does not hold them.
func TestRoomsThatChangeAtOnceAreAllListed(t *testing.T) {
	r, err := room.Follow(t.Context(), oneRevision{12}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := &roomService{rooms: &rooms{registry: r}}
	for _, since := range []int64{0, 6} {
		seen, q := map[string]bool{}, rpc.RoomList{Watch: true, Since: since}
		for more := true; more; {
			a := s.matching(&q, 5)
			for _, x := range a.Rooms {
				seen[x.ID] = true
				q.After, q.Since = x.ID, x.Revision
			}
			if more = a.More; len(a.Rooms) == 0 || !more && a.Revision != 7 {
				t.Fatalf("%+v", a)
			}
		}
		if len(seen) != 12 {
			t.Errorf("of 12 rooms that changed at once, %d are listed", len(seen))
		}
	}
	few := rpc.RoomList{RoomFilter: rpc.RoomFilter{Rooms: []string{"r-11", "r-03", "r-11", "r-99"}}}
	if a := s.matching(&few, 5); len(a.Rooms) != 2 || a.Rooms[0].ID != "r-03" || a.Rooms[1].ID != "r-11" || a.Revision != 7 {
		t.Errorf("two of the rooms that are asked for exist: %+v", a)
	}
	if a := s.matching(&rpc.RoomList{Watch: true, Since: 9, After: "r-03"}, 5); len(a.Rooms) > 0 || a.More || a.Revision != 8 {
		t.Errorf("a part of revision 9 was listed elsewhere, and this node knows revision 7: %+v", a)
	}
	if a := s.matching(&rpc.RoomList{Watch: true, Since: 7}, 5); len(a.Rooms) > 0 {
		t.Errorf("nothing has changed since, but %d rooms are listed", len(a.Rooms))
	}
}

// TestARoomThatWasMadeAgainIsNotTheOldOne: a room ended, was forgotten, and is made again with the same key. The node that made it may not
// have heard of either yet.
func TestARoomThatWasMadeAgainIsNotTheOldOne(t *testing.T) {
	r, err := room.Follow(t.Context(), oneRevision{1}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := &roomService{rooms: &rooms{registry: r}}
	again := room.Spec{Game: "match", At: time.Now()}
	if x := s.seen("r-00", &again); x != nil {
		t.Errorf("whoever asks for the room gets one that was asked for at %v", x.Spec.At)
	}
	if x := s.seen("r-00", &room.Spec{Game: "match"}); x == nil {
		t.Error("the room that stands is not seen")
	}
}

func TestALongListIsCut(t *testing.T) {
	a := &rpc.RoomListed{Rooms: []rpc.Room{{ID: "r-1"}, {ID: "r-2"}, {ID: "r-3", Node: strings.Repeat("x", 500)}}}
	if fit(a, 600); !a.More || len(a.Rooms) != 2 {
		t.Errorf("%d rooms, more %v", len(a.Rooms), a.More)
	}
	if fit(a, 10); !a.More || len(a.Rooms) != 1 {
		t.Errorf("%d rooms: one is always there", len(a.Rooms))
	}
}

// TestATicketsPlayerFindsTheRoomThatHasMoved: who has joined resumes by itself at the node that has the room now. A ticket from
// before the move is refused, since it may have been used, and another one admits.
func TestATicketsPlayerFindsTheRoomThatHasMoved(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	nodes := map[string]*Node{"anna": s.opens(t, s.host("anna")), "bert": s.opens(t, s.host("bert"))}
	c := s.cluster.Rooms("")
	q := asked(rpc.RoomSpec{})
	q.Players = []string{"ann", "ben"}
	made, err := c.Create(soon(t), q)
	if err != nil {
		t.Fatal(err)
	}
	enter := func(k rpc.RoomTicket) (*client.Client, error) {
		config := client.Config{Addr: k.Addresses["udp"], Ticket: k.Ticket}
		for _, at := range k.Others {
			config.More = append(config.More, at["udp"])
		}
		return client.Dial(soon(t), config)
	}
	player, err := enter(made.Tickets["ann"])
	if err != nil || len(made.Tickets["ann"].Others) != 1 {
		t.Fatal(made.Tickets, err)
	}
	defer player.Close()
	session := player.Session()
	standing, err := c.Ticket(soon(t), "main-anna", "eve")
	if err != nil || len(standing.Others) != 1 {
		t.Fatal(standing, err)
	}
	eve, err := client.Dial(soon(t), client.Config{Addr: standing.Others[0]["udp"], Ticket: standing.Ticket})
	if err != nil {
		t.Fatal("the other node does not know where the standing shard is:", err)
	}
	eve.Close()
	if err := nodes[made.Node].Stop(); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "she is back", func() bool { return player.Stats().Resumes == 1 })
	all, err := c.List(soon(t), rpc.RoomFilter{Rooms: []string{made.ID}, Players: true})
	if err != nil || len(all) != 1 || all[0].Node == made.Node || all[0].Occupancy == nil || all[0].Occupancy.Players[0] != "ann" || player.Session() != session {
		t.Errorf("%+v, %v, session %d was %d", all, err, player.Session(), session)
	}
	var bye *client.ByeError
	if p, err := enter(made.Tickets["ben"]); !errors.As(err, &bye) || bye.Reason != wirepb.Reason_REASON_BAD_TICKET || !strings.Contains(bye.Text, "ask the gateway for another") {
		t.Errorf("the ticket from before the move: %v, %v", p, err)
	}
	k, err := c.Ticket(soon(t), made.ID, "ben")
	if err != nil {
		t.Fatal(err)
	}
	ben, err := enter(*k)
	if err != nil {
		t.Fatal(err)
	}
	ben.Close()
}

// TestARequestOfANodeThatStopsIsAnswered: at once, and the same request to another node finds the room.
func TestARequestOfANodeThatStopsIsAnswered(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	anna := s.opens(t, s.host("anna"))
	q := rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "chess", Key: "one"}}
	failed := make(chan error, 1)
	go func() {
		_, err := s.cluster.Rooms("").Create(soon(t), q)
		failed <- err
	}()
	s.eventually(t, "the room is wanted", func() bool { return anna.RoomStats().Waiting == 1 })
	if err := anna.Stop(); err != nil {
		t.Fatal(err)
	}
	first := <-failed
	refused(t, first, rpc.Unavailable, true, "is stopping: ask again")
	s.opens(t, s.host("bert"))
	q.Wait = new(rpc.Duration(0))
	again, err := s.cluster.Rooms("").Create(soon(t), q)
	if err != nil || again.State != "wanted" || !strings.Contains(rpc.ErrorOf(first).Text, again.ID) {
		t.Errorf("%+v, %v, after %v", again, err, first)
	}
	if all, err := s.cluster.Rooms("").List(soon(t), rpc.RoomFilter{}); err != nil || len(all) != 1 {
		t.Errorf("%d rooms, %v", len(all), err)
	}
}
