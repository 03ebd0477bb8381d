package pyservice_test

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
)

// pay is a command that services send into a shard.
type pay struct {
	Amount int32
	Player ecs.Text32
}

// payments is a game whose shard takes payments of at most 100.
var payments = ecs.Game{Name: "payments", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Handle[pay](w, "pay", func(_ *ecs.Tick, c *ecs.Cmd[pay]) {
		if c.Value.Amount > 100 || c.Source().Kind != ecs.SourceService {
			c.Reject(fmt.Sprintf("%s pays %d from %s", c.Value.Player.String(), c.Value.Amount, c.Source().Kind))
		}
	})
}}

// pays is a service that sends commands: "main pay 5" pays five in the shard main, and with "refuse" after it the handler
// refuses the request once the command is committed.
const pays = `
import sys
import translate_wind
from windmain import main
from windservice import NOT_FOUND, ServiceError

class Handlers:
    async def Handler_TranslateRequest(client, request):
        shard, name, amount, *then = request["text"].split()
        value = {"amount": float(amount) if amount == "nan" else int(amount), "player": client.player}
        tick = await client.service.command(shard, name, value)
        if then == ["refuse"]:
            raise ServiceError(NOT_FOUND, "no")
        return {"text": str(tick)}

sys.exit(main("translate", translate_wind, client=Handlers, public=("TranslateRequest",)))
`

// TestHandlersSendCommandsIntoAShard: handlers learn in which tick their command was committed, or why not, in the words that
// handlers in Go and in Starlark get (cmd/node has the same test of those). A command that did nothing is no effect.
func TestHandlersSendCommandsIntoAShard(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	n, err := node.Start(t.Context(), node.Config{
		Game: payments, Cluster: cluster, NATS: i.nats, Etcd: i.etcd, UDP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop() }()
	p := i.run(t, interpreter, "translate-1", "-c", pays, "--nats", i.nats, "--etcd", i.etcd, "--id", "translate-1")
	send := func(text string) (string, *rpc.Error) {
		return i.askWithin(t, 30*time.Second, "translate-1", "ann", text)
	}
	i.eventually(t, "the shard takes commands", func() bool { _, err := send("main pay 1"); return err == nil })

	first, failed := send("main pay 5")
	if tick, err := strconv.ParseUint(first, 10, 64); failed != nil || err != nil || tick == 0 {
		t.Errorf("a command is answered with %q, %v", first, failed)
	}
	for _, c := range []struct {
		text string
		want rpc.Error
	}{
		{"main pay 101", rpc.Error{Code: rpc.FailedPrecondition, Text: "ann pays 101 from service"}},
		{"main pray 1", rpc.Error{Code: rpc.NotFound, Text: `the game has no command "pray"`}},
		{"main wind.join 1", rpc.Error{Code: rpc.PermissionDenied, Text: "reserved for Wind"}},
		{"main pay 3000000000", rpc.Error{Code: rpc.InvalidArgument, Text: "3000000000"}},
		{"main pay nan", rpc.Error{Code: rpc.InvalidArgument, Text: "the value of command pay cannot be encoded"}},
		{"Main pay 1", rpc.Error{Code: rpc.InvalidArgument, Text: "shard 'Main' is not 1 to 40 characters of a-z, 0-9 and the dash"}},
		{"nowhere pay 1", rpc.Error{Code: rpc.Unavailable, Text: "no node runs shard nowhere", Maybe: true}}, // as with call
		{"main pay 5 refuse", rpc.Error{Code: rpc.NotFound, Text: "no", Maybe: true}},
	} {
		if _, e := send(c.text); e == nil || e.Code != c.want.Code || e.Maybe != c.want.Maybe || e.NotBegun || !strings.Contains(e.Text, c.want.Text) {
			t.Errorf("%s ends with %+v, want %+v", c.text, e, c.want)
		}
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
