package arena

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/arena/lobbypb"
	"github.com/ferris1/wind/cmd/examples/arena/scripts"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
)

// mortal is a store of an instance that dies at one of its writes.
type mortal struct {
	rpc.Store
	mu     sync.Mutex
	writes int  // so far
	last   int  // the write at which the instance dies; 0: it lives
	before bool // it dies before the write arrives, not after
}

var errDead = errors.New("the instance has died")

// dies counts a write and reports whether it is the last one, or comes after it.
func (m *mortal) dies() (now, dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	return m.last > 0 && m.writes == m.last, m.last > 0 && m.writes >= m.last
}

func (m *mortal) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last > 0 && m.writes >= m.last
}

// kill makes the instance die now.
func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes, m.last = max(m.writes, 1), 1
}

func (m *mortal) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	if m.dead() {
		return nil, 0, errDead
	}
	return m.Store.Get(ctx, key)
}

func (m *mortal) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, bool, error) {
	now, dead := m.dies()
	if dead && (!now || m.before) {
		return 0, false, errDead
	}
	next, ok, err := m.Store.Put(ctx, key, value, revision)
	if now {
		return 0, false, errDead
	}
	return next, ok, err
}

// theLobby is a lobby on a bus with rooms in memory. Its instances share a store.
type theLobby struct {
	t     *testing.T
	bus   *rpc.MemoryBus
	rooms *rpc.MemoryRooms
	store *rpc.MemoryStore
	rules *strings.Replacer // of lines in the scripts
}

func newLobby(t *testing.T) *theLobby {
	l := &theLobby{t: t, bus: rpc.NewMemoryBus(), rooms: rpc.NewMemoryRooms(), store: rpc.NewMemoryStore(), rules: strings.NewReplacer()}
	l.bus.Serve(rpc.RoomsType, "rooms-1", l.rooms.Handle)
	return l
}

// instance starts an instance of the lobby.
func (l *theLobby) instance(id string, store rpc.Store) *servicetest.Service {
	l.t.Helper()
	modules, err := script.ReadFolder(scripts.FS(), scripts.Lobby)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range modules {
		modules[i].Source = []byte(l.rules.Replace(string(modules[i].Source)))
	}
	return servicetest.Start(l.t, service.Config{
		Type: scripts.Lobby, ID: id, Scripts: modules, Files: scripts.Services[0].Files, Login: scripts.Services[0].Login, Bus: l.bus, Store: store,
		Logger: slog.New(slog.DiscardHandler),
	})
}

const patience = 60 * time.Second

// until waits for something that the lobby does, and reports whether it did.
func (l *theLobby) until(what string, ok func() bool) bool {
	l.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Errorf("in vain: %s", what)
			return false
		}
	}
	return true
}

// ask sends a message and returns the answer, or nil if the instance cannot answer.
func ask[M proto.Message](c *servicetest.Client, m proto.Message) (answer M) {
	got, err := c.Ask(m)
	if err != nil {
		return answer
	}
	return got.(M)
}

// ledger is what the tests read of the lobby's ledger.
type ledger struct {
	Waiting map[string]place `json:"waiting"`
	Matches map[string]struct {
		Players map[string]int `json:"players"`
		Room    string         `json:"room"`
	} `json:"matches"`
	Counted, Void int
}

func (l *theLobby) ledger() (x ledger) {
	l.t.Helper()
	b, _, err := l.store.Get(l.t.Context(), "ledger")
	if err == nil && b != nil {
		err = json.Unmarshal(b, &x)
	}
	if err != nil {
		l.t.Error(err)
	}
	return x
}

// record is a player's record.
type record struct{ Rating, Matches, Last int }

func (l *theLobby) record(player string) (r record) {
	l.t.Helper()
	b, _, err := l.store.Get(l.t.Context(), "player/"+player)
	if err == nil && b != nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		l.t.Error(err)
	}
	return r
}

// TestAMatchFromQueueToResult: two players wait, get tickets for one room, and their ratings change when it ends.
func TestAMatchFromQueueToResult(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	s := l.instance("lobby-1", l.store)
	ann, bob := s.Player("ann"), s.Player("bob")
	for _, c := range []*servicetest.Client{ann, bob} {
		if a := ask[*lobbypb.LobbyLoginResponse](c, &lobbypb.LobbyLoginRequest{PlayerId: c.Name()}); a.GetRating() != 1000 || a.GetMatches() != 0 {
			t.Errorf("%s logs in: %v", c.Name(), a)
		}
		if a := ask[*lobbypb.QueueResponse](c, &lobbypb.QueueRequest{Size: 2}); a == nil || a.Ticket != nil {
			t.Errorf("%s queues: %v", c.Name(), a)
		}
	}
	tickets := map[string]*lobbypb.Ticket{}
	l.until("the tickets are pushed", func() bool {
		for _, p := range s.Pushes() {
			if x, ok := p.Message.(*lobbypb.Ticket); ok {
				tickets[p.Player] = x
			}
		}
		return len(tickets) == 2
	})
	made := l.rooms.Rooms()[0]
	if len(l.rooms.Rooms()) != 1 || tickets["ann"].Room != made.ID || tickets["bob"].Room != made.ID || len(tickets["ann"].Ticket) == 0 || tickets["ann"].Udp == "" {
		t.Errorf("rooms %+v, tickets %v", l.rooms.Rooms(), tickets)
	}
	if made.Spec.Game != Game.Name || made.Spec.Idle == 0 || made.Spec.Limit == 0 {
		t.Errorf("the room is %+v", made.Spec)
	}
	if o, err := Game.DecodeOptions(made.Spec.Options); err != nil || o.(Options).Match == 0 {
		t.Errorf("the room's options are %+v: %v", o, err)
	}

	// Asking again, as after a lost connection, gives another ticket for the same room.
	l.until("ann gets back", func() bool {
		return ask[*lobbypb.QueueResponse](ann, &lobbypb.QueueRequest{Size: 2}).GetTicket().GetRoom() == made.ID
	})

	l.rooms.Finish(made.ID, "arena.result", arenaResult{[]string{"bob", "ann", ""}, []int{1, 5, 0}, []int{5, 1, 0}})
	results := map[string]*lobbypb.MatchResult{}
	l.until("the results are pushed", func() bool {
		for _, p := range s.Pushes() {
			if x, ok := p.Message.(*lobbypb.MatchResult); ok {
				results[p.Player] = x
			}
		}
		return len(results) == 2
	})
	if r := results["ann"]; r.Rating != 1016 || r.Room != made.ID || r.Places[0].Player != "ann" || r.Places[0].Kills != 5 || r.Places[0].Change != 16 || results["bob"].Rating != 984 {
		t.Errorf("%v", results)
	}
	l.until("the match leaves the ledger", func() bool { x := l.ledger(); return x.Counted == 1 && len(x.Matches) == 0 })
	if a := ask[*lobbypb.RatingsResponse](s.As("operator/1"), &lobbypb.RatingsRequest{}); a.GetPlayers() != 2 || a.GetSum() != 2000 || a.GetMatches() != 2 {
		t.Errorf("the ratings: %v", a)
	}
	l.until("the lobby is empty", func() bool {
		return proto.Equal(ask[*lobbypb.LobbyResponse](ann, &lobbypb.LobbyRequest{}), &lobbypb.LobbyResponse{Counted: 1})
	})
}

// TestALeaverLeavesTheQueue: by request, or because the connection has ended.
func TestALeaverLeavesTheQueue(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	s := l.instance("lobby-1", l.store)
	for name, leave := range map[string]func(c *servicetest.Client){
		"ann": func(c *servicetest.Client) { ask[proto.Message](c, &lobbypb.LeaveQueueRequest{}) },
		"bob": func(c *servicetest.Client) {
			if _, err := s.As("gateway/1").AskJSON("PlayerDisconnected", `{"player":"bob"}`); err != nil {
				t.Error(err)
			}
		},
	} {
		c := s.Player(name)
		ask[*lobbypb.QueueResponse](c, &lobbypb.QueueRequest{Size: 10})
		l.until(name+" waits", func() bool { _, ok := l.ledger().Waiting[name]; return ok })
		leave(c)
		l.until(name+" has left", func() bool { return len(l.ledger().Waiting) == 0 })
	}
}

// TestAMatchWithoutAResultIsVoid: nobody came, or somebody closed the room.
func TestAMatchWithoutAResultIsVoid(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	s := l.instance("lobby-1", l.store)
	for _, name := range []string{"ann", "bob"} {
		ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
	}
	l.until("there is a room", func() bool { return len(l.rooms.Rooms()) == 1 })
	l.until("the room is known", func() bool { return l.ledger().Matches["1"].Room != "" })
	if err := l.closeRoom("r-1"); err != nil {
		t.Fatal(err)
	}
	l.until("the match is void", func() bool { x := l.ledger(); return x.Void == 1 && len(x.Matches) == 0 })
	if r := l.record("ann"); r != (record{Rating: 1000}) {
		t.Errorf("ann: %+v", r)
	}
}

// TestAResultCountsThatIsNoLongerInSight: an ended room may be stored elsewhere before the lobby looks, and is then no
// longer in the list of those that are sealed.
func TestAResultCountsThatIsNoLongerInSight(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	l.rules = strings.NewReplacer("MATCH = 15 ", "MATCH = 1 ")
	l.bus.Leave(rpc.RoomsType, "rooms-1")
	l.bus.Serve(rpc.RoomsType, "rooms-1", func(r *rpc.Request, done func(rpc.Response)) {
		if strings.Contains(string(r.Payload), `"state":"sealed"`) {
			done(rpc.Response{Message: "RoomListResponse", Format: rpc.JSON, Payload: []byte(`{"rooms":[]}`)})
			return
		}
		l.rooms.Handle(r, done)
	})
	s := l.instance("lobby-1", l.store)
	for _, name := range []string{"ann", "bob"} {
		ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
	}
	l.until("the room is known", func() bool { return l.ledger().Matches["1"].Room != "" })
	l.rooms.Finish("r-1", "arena.result", arenaResult{[]string{"ann", "bob"}, []int{3, 1}, []int{0, 0}})
	l.until("the match counts", func() bool { return l.ledger().Counted == 1 })
}

// TestNodesThatDoNotAnswerHoldUpNobody: the lobby never hears how a match has ended, and forms others meanwhile, each within
// the time that the page promises.
func TestNodesThatDoNotAnswerHoldUpNobody(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	l.bus.Leave(rpc.RoomsType, "rooms-1")
	l.bus.Serve(rpc.RoomsType, "rooms-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message != "RoomListRequest" {
			l.rooms.Handle(r, done)
		}
	})
	s := l.instance("lobby-1", l.store)
	for n, pair := range [][]string{{"ann", "bob"}, {"cid", "dan"}} {
		for _, name := range pair {
			ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
		}
		began := time.Now()
		l.until(fmt.Sprintf("match %d has a room", n+1), func() bool { return l.ledger().Matches[fmt.Sprint(n+1)].Room != "" })
		if took := time.Since(began); took > 15*time.Second { // the stated bound is 20 s
			t.Errorf("match %d has a room after %v", n+1, took)
		}
	}
}

// TestRulesThatChangeStrandNoMatch: an instance has asked for a match's room and died, and the next one has other rules.
func TestRulesThatChangeStrandNoMatch(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	dying, made := &mortal{Store: l.store}, make(chan struct{})
	l.bus.Leave(rpc.RoomsType, "rooms-1")
	l.bus.Serve(rpc.RoomsType, "rooms-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message != "RoomCreateRequest" || len(l.rooms.Rooms()) > 0 {
			l.rooms.Handle(r, done)
			return
		}
		l.rooms.Handle(r, func(rpc.Response) {})
		dying.kill()
		close(made)
		done(rpc.Response{Err: &rpc.Error{Code: rpc.Unavailable, Text: "the answer is lost", Maybe: true}})
	})
	s := l.instance("lobby-1", dying)
	for _, name := range []string{"ann", "bob"} {
		ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
	}
	<-made
	l.rules = strings.NewReplacer(`IDLE = "20s"`, `IDLE = "40s"`, `LIMIT = "5m"`, `LIMIT = "6m"`, "MATCH = 15 ", "MATCH = 30 ")
	l.instance("lobby-2", l.store)
	l.until("the next instance finds the room", func() bool { return l.ledger().Matches["1"].Room == "r-1" })
	if all := l.rooms.Rooms(); len(all) != 1 || all[0].Spec.Idle.String() != "20s" {
		t.Errorf("%+v", all)
	}
}

// TestAMatchThatGetsNoRoomIsVoid in the end, and its players may queue again.
func TestAMatchThatGetsNoRoomIsVoid(t *testing.T) {
	t.Parallel()
	l := newLobby(t)
	l.rules = strings.NewReplacer("OLD = 600 ", "OLD = 1 ")
	l.rooms.Refuse(&rpc.Error{Code: rpc.FailedPrecondition, Text: "no node has the game", Maybe: true})
	s := l.instance("lobby-1", l.store)
	queue := func() {
		for _, name := range []string{"ann", "bob"} {
			ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
		}
	}
	queue()
	l.until("the match is void", func() bool { return l.ledger().Void == 1 })
	l.rooms.Refuse(nil)
	l.until("they get a room", func() bool {
		queue()
		return len(l.rooms.Rooms()) == 1
	})
	if r := l.record("ann"); r.Rating != 1000 || r.Matches != 0 {
		t.Errorf("ann: %+v", r)
	}
}

func (l *theLobby) closeRoom(id string) error {
	_, err := rpc.RoomsOver(l.bus, "").Close(l.t.Context(), id)
	return err
}

// TestAMatchCountsOnceWhereverTheInstanceDies: an instance dies before or after each of its writes. The next one does what
// is left, and each of two matches in a row counts once.
func TestAMatchCountsOnceWhereverTheInstanceDies(t *testing.T) {
	t.Parallel()
	const writes = 24 // more than an instance makes in two matches
	var group sync.WaitGroup
	died := make([]int, 2*writes)
	for i := range died {
		last, before := i/2+1, i%2 == 0
		l := newLobby(t)
		dying := &mortal{Store: l.store, last: last, before: before}
		first, second := l.instance("lobby-1", dying), l.instance("lobby-2", l.store)
		group.Go(func() {
			for n := 1; n <= 2; n++ {
				l.playMatch(n, first, second, dying)
			}
			if ann, bob := l.record("ann"), l.record("bob"); ann != (record{1000 + 16 + 14, 2, 2}) || bob != (record{1000 - 16 - 14, 2, 2}) {
				t.Errorf("death at write %d, before it arrives: %v; ann %+v, bob %+v", last, before, ann, bob)
			}
			if all := l.rooms.Rooms(); len(all) != 2 {
				t.Errorf("death at write %d: %d rooms for two matches", last, len(all))
			}
			if dying.dead() {
				died[i] = last
			}
		})
	}
	group.Wait()
	most := slices.Max(died)
	t.Logf("an instance makes about %d writes in two matches", most)
	if most < 8 || most == writes {
		t.Errorf("the last death was at write %d: want some more than an instance makes", most)
	}
}

// playMatch plays match n of ann and bob, which ann wins.
func (l *theLobby) playMatch(n int, first, second *servicetest.Service, dying *mortal) {
	l.t.Helper()
	opened := l.until(fmt.Sprintf("match %d has a room", n), func() bool {
		s := first
		if dying.dead() {
			s = second
		}
		for _, name := range []string{"ann", "bob"} { // ask until there is a room, as clients do
			ask[*lobbypb.QueueResponse](s.Player(name), &lobbypb.QueueRequest{Size: 2})
		}
		return len(l.rooms.Rooms()) == n
	})
	if opened {
		l.rooms.Finish(fmt.Sprint("r-", n), "arena.result", arenaResult{[]string{"ann", "bob"}, []int{3, 1}, []int{0, 0}})
		l.until(fmt.Sprintf("match %d counts", n), func() bool { return l.ledger().Counted == n })
	}
}
