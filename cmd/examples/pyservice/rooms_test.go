package pyservice_test

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
)

// asksForRooms is a service that asks for rooms: the request's text is a method of rooms and its arguments in JSON, the
// answer's text what it returns.
const asksForRooms = `
import json
import sys
import translate_wind
from windmain import main
from windservice import NOT_FOUND, ServiceError

class Handlers:
    async def Handler_TranslateRequest(client, request):
        method, arguments, *then = json.loads(request["text"])
        answer = await getattr(client.service.rooms, method)(**arguments)
        if then:
            raise ServiceError(NOT_FOUND, "no")
        return {"text": json.dumps(answer)}

sys.exit(main("translate", translate_wind, client=Handlers, public=("TranslateRequest",)))
`

// TestHandlersAskForRooms: in Python, as cmd/node tests it in Go and in Starlark. The ticket lets a real client in.
func TestHandlersAskForRooms(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	p := i.run(t, interpreter, "translate-1", "-c", asksForRooms, "--nats", i.nats, "--etcd", i.etcd, "--id", "translate-1")
	ask := func(call string, answer any) *rpc.Error {
		t.Helper()
		text, failed := i.askWithin(t, 30*time.Second, "translate-1", "ann", call)
		if failed == nil && answer != nil {
			if err := json.Unmarshal([]byte(text), answer); err != nil {
				t.Error(text, err)
			}
		}
		return failed
	}
	refused := func(call string, code rpc.Code, maybe bool, want string) {
		t.Helper()
		if e := ask(call, nil); e == nil || e.Code != code || e.Maybe != maybe || !strings.Contains(e.Text, want) {
			t.Errorf("%s ends with %+v, want %v, maybe %v, %q", call, e, code, maybe, want)
		}
	}
	i.eventually(t, "the service answers", func() bool {
		e := ask(`["list", {}]`, nil)
		return e != nil && strings.Contains(e.Text, "no node that hosts rooms answers")
	})
	n, err := node.Start(t.Context(), node.Config{
		Game: ecs.Game{Name: "empty", TickRate: 30, Setup: func(*ecs.World) {}}, Cluster: cluster, NATS: i.nats, Etcd: i.etcd,
		UDP: "127.0.0.1:0", Capacity: 1000, LogBytes: 64 << 20, DeltaBytes: 64 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop() }()
	const create = `["create", {"game": "empty", "key": "match-1", "idle": "1h", "players": ["ann"]}]`
	var made, again rpc.Room
	i.eventually(t, "a room is made", func() bool { return ask(create, &made) == nil })
	if e := ask(create, &again); e != nil || again.ID != made.ID || made.State != "running" || made.Spec.By != "translate/translate-1" || made.Spec.Idle.String() != "1h0m0s" {
		t.Errorf("%+v, then %+v, %v", made, again, e)
	}
	player, err := client.Dial(t.Context(), client.Config{Addr: made.Tickets["ann"].Addresses["udp"], Ticket: made.Tickets["ann"].Ticket})
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	var ticket struct{ Ticket string }
	if e := ask(`["ticket", {"room": "`+made.ID+`", "player": "ben"}]`, &ticket); e != nil {
		t.Error(e)
	} else if b, err := base64.StdEncoding.DecodeString(ticket.Ticket); err != nil || len(b) == 0 {
		t.Error(ticket, err)
	}
	for filter, want := range map[string]int{`{}`: 1, `{"state": "running", "players": true}`: 1, `{"state": "sealed"}`: 0, `{"label": {"region": "eu"}}`: 0, `{"ids": []}`: 0, `{"game": "empty"}`: 1} {
		var all []rpc.Room
		if e := ask(`["list", `+filter+`]`, &all); e != nil || len(all) != want {
			t.Errorf("%s lists %d rooms, %v", filter, len(all), e)
		}
		if strings.Contains(filter, "players") && (len(all) != 1 || all[0].Occupancy == nil || len(all[0].Occupancy.Players) != 1) {
			t.Errorf("%+v", all)
		}
	}
	refused(`["create", {"game": "chess", "wait": "1ms"}]`, rpc.FailedPrecondition, true, "runs the game empty")
	refused(`["create", {"game": "empty", "key": "match-1", "limit": "1m"}]`, rpc.AlreadyExists, false, "choose another key")
	refused(`["create", {"game": "empty", "idle": "soon"}]`, rpc.InvalidArgument, false, "1m30s")
	refused(`["ticket", {"room": "r-nowhere", "player": "ann"}]`, rpc.NotFound, false, "no room r-nowhere")
	refused(`["list", {}, "refuse"]`, rpc.NotFound, false, "no") // to look is no effect
	refused(`["ticket", {"room": "`+made.ID+`", "player": "ann"}, "refuse"]`, rpc.NotFound, true, "no")
	var closed rpc.Room
	if e := ask(`["close", {"room": "`+made.ID+`"}]`, &closed); e != nil || closed.End == nil || closed.End.By != "translate/translate-1" {
		t.Errorf("%+v, %v", closed, e)
	}
	refused(`["ticket", {"room": "`+made.ID+`", "player": "ann"}]`, rpc.FailedPrecondition, false, "is over")
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
