package service_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
)

// newLobby runs a script on a cluster in memory that hosts rooms.
func newLobby(t *testing.T, body string) (shop, *rpc.MemoryRooms) {
	t.Helper()
	s, rooms := newShop(t, service.Config{Scripts: trader(body)}), rpc.NewMemoryRooms()
	s.Bus.Serve(rpc.RoomsType, "rooms-1", rooms.Handle)
	return s, rooms
}

// says checks what a script answers.
func (s shop) says(t *testing.T, want string) {
	t.Helper()
	if got, err := s.trade(t, `{}`); err != nil || got != want {
		t.Errorf("it answers %q, %v, want %q", got, err, want)
	}
}

// TestAScriptAsksForRooms: each value is a plain dict, and one key makes one room.
func TestAScriptAsksForRooms(t *testing.T) {
	s, rooms := newLobby(t, `
    def ask(options = {"size": 4}):
        return room.create("arena", options = options, key = "match-1", idle = "1m", limit = "10m", labels = {"region": "eu"}, players = ["ann", "ben"])
    made = ask()
    again = ask()
    ticket = made["tickets"]["ben"]
    return TradeResponse(text = " ".join([
        made["state"], str(made["room"] == again["room"]), made["spec"]["idle"], str(int(made["spec"]["options"]["size"])), made["spec"]["by"],
        type(ticket["ticket"]), ticket["player"], ticket["addresses"]["udp"], str(ticket["seconds"]), str(json.decode(json.encode(made))["room"] == made["room"]),
        str(room.create("chess", key = "match-1", default = None)),
    ]))`)
	s.says(t, "running True 1m0s 4 game/game-1 bytes ben 127.0.0.1:1 30 True None")
	if all := rooms.Rooms(); len(all) != 1 || all[0].Spec.Labels["region"] != "eu" || all[0].Spec.Limit.String() != "10m0s" {
		t.Errorf("%+v", all)
	}
}

// TestAScriptHearsThatNoNodeRunsStandbys: the number is in the spec, and the answer says what becomes of it.
func TestAScriptHearsThatNoNodeRunsStandbys(t *testing.T) {
	s, _ := newLobby(t, `
    made = room.create("arena", standbys = 2)
    return TradeResponse(text = "%d; %s; %s" % (made["spec"]["standbys"], made["note"], "note" in room.close(made["room"])))`)
	s.says(t, "2; standbys: 2 wanted, none run: this version runs none; False")
}

func TestAScriptListsAndClosesRooms(t *testing.T) {
	s, _ := newLobby(t, `
    ids = [room.create("arena", labels = {"region": r})["room"] for r in ["eu", "us", "us"]]
    room.close(ids[1])
    def count(**filter):
        return str(len(room.list(**filter)))
    return TradeResponse(text = " ".join([
        count(), count(state = "running"), count(label = "region=us"), count(label = {"region": "us"}, state = "sealed"), count(game = "chess"), count(ids = ids[:2]), count(ids = []),
        room.close(ids[1])["end"]["reason"], str(room.remove(ids[0], default = None)), room.remove(ids[1])["state"], str(room.ticket(ids[1], "ann", default = None)), room.ticket(ids[0], "ann")["room"] == ids[0] and "ticket" or "",
    ]))`)
	s.says(t, "3 2 2 1 0 2 0 closed None gone None ticket")

	s, rooms := newLobby(t, `
    for r in room.list(game = "arena", state = "sealed"):
        return TradeResponse(text = "%s %d" % (r["end"]["name"], r["end"]["result"]["red"]))
    made = room.create("arena")
    return TradeResponse(text = "%s %s" % (made["room"], room.list(players = True)[0]["occupancy"]))`)
	s.says(t, `r-1 {"tick": 1, "sessions": 0}`)
	rooms.Enter("r-1", "ann")
	s.says(t, `r-2 {"tick": 1, "sessions": 1, "players": ["ann"]}`)
	rooms.Finish("r-1", "score", map[string]int{"red": 3})
	s.says(t, "score 3")
}

// TestAScriptReadsWhyThereIsNoRoom: and goes on with a default if it gives one.
func TestAScriptReadsWhyThereIsNoRoom(t *testing.T) {
	full := &rpc.Error{Code: rpc.ResourceExhausted, Text: "node a is full", Maybe: true}
	s, rooms := newLobby(t, `
    made = room.create("arena", key = "k", wait = "50ms")
    return TradeResponse(text = made["room"])`)
	rooms.Refuse(full)
	if _, err := s.trade(t, `{}`); err == nil || *rpc.ErrorOf(err) != *full {
		t.Errorf("it fails with %v", err)
	}
	rooms.Refuse(nil)
	s.says(t, "r-1")

	s, _ = newLobby(t, `
    if room.create("arena", default = None) == None:
        return TradeResponse(text = "later")`)
	s.Bus.Leave(rpc.RoomsType, "rooms-1")
	s.says(t, "later")
}

func TestAWrongArgumentOfARoomIsNamed(t *testing.T) {
	for call, want := range map[string]string{
		`room.create()`:                                 "missing argument for game",
		`room.create("arena", idle = 60)`:               `for parameter "idle": got int, want a text such as "1m30s"`,
		`room.create("arena", idle = "soon")`:           `for parameter "idle": got "soon", want a text such as "1m30s"`,
		`room.create("arena", labels = "eu")`:           `want a dict of strings, or "name=value"`,
		`room.create("arena", players = [1])`:           "got a list with int, want strings",
		`room.create("arena", options = {1: 2})`:        "JSON keys are strings",
		`room.create("arena", option = {})`:             `unexpected keyword argument "option"`,
		`room.ticket("r-1")`:                            "missing argument for player",
		`room.list(label = {"region": 1})`:              "want strings",
		`room.lists()`:                                  "did you mean .list?",
		`room.close("r-9")`:                             "there is no room r-9",
		`room.create("arena", key = "x", wait = "2 s")`: `for parameter "wait": got "2 s"`,
	} {
		var lines captured
		s := newShop(t, service.Config{Scripts: trader(call), Logger: lines.logger()})
		s.Bus.Serve(rpc.RoomsType, "rooms-1", rpc.NewMemoryRooms().Handle)
		_, err := s.trade(t, `{}`)
		if e := rpc.ErrorOf(err); e == nil || !strings.Contains(e.Text+lines.String(), want) {
			t.Errorf("%s: %v %s, want %q", call, err, lines.String(), want)
		}
	}
}

// TestAWaitForARoomSuspendsItsHandlerAlone: another player's request is answered meanwhile.
func TestAWaitForARoomSuspendsItsHandlerAlone(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader(`
    if client.player == "ann":
        return TradeResponse(text = room.create("arena")["room"])
    return TradeResponse(text = "at once")`)})
	rooms, asked, open := rpc.NewMemoryRooms(), make(chan struct{}), make(chan struct{})
	s.Bus.Serve(rpc.RoomsType, "rooms-1", func(r *rpc.Request, done func(rpc.Response)) {
		close(asked)
		go func() {
			<-open
			rooms.Handle(r, done)
		}()
	})
	made := make(chan string, 1)
	go func() {
		text, err := s.trade(t, `{}`)
		if err != nil {
			text = err.Error()
		}
		made <- text
	}()
	<-asked
	if text, err := s.Player("ben").AskJSON("TradeRequest", `{}`); err != nil || !strings.Contains(text, "at once") {
		t.Errorf("%s, %v", text, err)
	}
	close(open)
	if text := <-made; text != "r-1" {
		t.Error(text)
	}
}

// TestToLookAtRoomsIsNoEffect of a handler: to ask for one, or for a ticket, or to close one, is.
func TestToLookAtRoomsIsNoEffect(t *testing.T) {
	for call, maybe := range map[string]bool{
		`room.list()`:              false,
		`room.create("arena")`:     true,
		`room.close("r-1")`:        true,
		`room.remove("r-9")`:       false, // refused
		`room.ticket("r-1", "x")`:  true,
		`room.ticket("r-9", "x")`:  false, // refused
		`room.close("r-9")`:        false,
		`room.create("a", key=1)`:  true, // the script breaks off
		`room.list(ids = ["r-9"])`: false,
	} {
		s, _ := newLobby(t, `
    if request.item.count == 7:
        return TradeResponse(text = room.create("arena")["room"])
    `+call+`
    error("not_found", "no")`)
		if _, err := s.trade(t, `{"item": {"count": 7}}`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.trade(t, `{}`); err == nil || rpc.ErrorOf(err).Maybe != maybe {
			t.Errorf("%s, then a refusal: %+v, want maybe %v", call, rpc.ErrorOf(err), maybe)
		}
	}
}

// TestTheExamplesOfThePageOnRoomsWork: its handler runs, and the room that it shows has only fields that rooms have.
func TestTheExamplesOfThePageOnRoomsWork(t *testing.T) {
	page, err := os.ReadFile("../rpc/ROOMS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		code := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(string(page))
		if code == nil {
			t.Fatalf("the page has no %s", language)
		}
		return code[1]
	}
	bus, rooms := rpc.NewMemoryBus(), rpc.NewMemoryRooms()
	bus.Serve(rpc.RoomsType, "rooms-1", rooms.Handle)
	s := servicetest.Start(t, service.Config{
		Type: "matches", Bus: bus, Scripts: []script.Module{{Name: "handlers_client/play.star", Source: []byte(block("python"))}},
		Files: []protoreflect.FileDescriptor{compile(t, `syntax = "proto3"; import "wirepb/wire.proto";
			message PlayRequest { option (wind.id) = 5001; string match = 1; }
			message PlayResponse { option (wind.id) = 5002; string room = 1; bytes ticket = 2; string udp = 3; }`)},
	})
	a, err := s.Player("ann").AskJSON("PlayRequest", `{"match": "7"}`)
	if err != nil || !strings.Contains(a, `"r-1"`) || !strings.Contains(a, `"127.0.0.1:1"`) {
		t.Errorf("%s, %v", a, err)
	}
	if all := rooms.Rooms(); len(all) != 1 || all[0].Spec.Key != "match-7" || all[0].Spec.Limit.String() != "10m0s" {
		t.Errorf("%+v", all)
	}
	shown := json.NewDecoder(strings.NewReader(strings.ReplaceAll(block("json"), "AnV…", "AnVs")))
	shown.DisallowUnknownFields()
	var room rpc.Room
	if err := shown.Decode(&room); err != nil || room.Occupancy == nil || len(room.Tickets) != 1 || room.Spec.By == "" {
		t.Errorf("%+v, %v", room, err)
	}
}
