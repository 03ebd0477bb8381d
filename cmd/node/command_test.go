package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
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

// payer is a handler in Go that sends the command.
type payer struct{}

func (payer) CreateRoleRequest(c *service.Ctx, r *speakpb.CreateRoleRequest) (*speakpb.CreateRoleResponse, error) {
	tick, err := c.Command("main", "pay", pay{Amount: r.RoleId, Player: ecs.NewText32(r.PlayerId)})
	return &speakpb.CreateRoleResponse{PlayerId: c.Instance(), RoleId: int32(tick)}, err
}

// TestHandlersSendCommandsIntoAShard: in Go and in Starlark, over NATS. They learn in which tick it was committed, or why not
// and whether it may have been.
func TestHandlersSendCommandsIntoAShard(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	c := s.config("game-1", fstest.MapFS{"game/handlers_server/pay.star": {Data: []byte(`
def Handler_SpeakOnWorldRequest(caller, request):
    shard, name, amount = request.player_id, request.name, int(request.content)
    tick = command(shard, name, {"amount": amount, "player": "ann"})
    return SpeakOnWorldResponse(content = str(tick), name = service.type + "/" + service.instance)

def Handler_PlayerLoginRequest(caller, request):
    return PlayerLoginResponse(result = command("nowhere", "pay", default = None) == None)
`)}})
	c.Game, c.NoShard, c.UDP = payments, false, "127.0.0.1:0"
	c.Services[0].Handlers = func() (client, server []any) { return nil, []any{payer{}} }
	s.start(t, c)
	ask := func(message string, m, answer proto.Message) error {
		t.Helper()
		payload, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, err := s.cluster.Bus.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: message, Payload: payload, From: "test/1", Timeout: 30 * time.Second})
		if err == nil {
			err = proto.Unmarshal(a.Payload, answer)
		}
		return err
	}
	inScript := func(shard, name string, amount int) (*speakpb.SpeakOnWorldResponse, error) {
		var a speakpb.SpeakOnWorldResponse
		err := ask("SpeakOnWorldRequest", &speakpb.SpeakOnWorldRequest{PlayerId: shard, Name: name, Content: fmt.Sprint(amount)}, &a)
		return &a, err
	}
	s.eventually(t, "the shard takes commands", func() bool { _, err := inScript("main", "pay", 1); return err == nil })

	a, err := inScript("main", "pay", 5)
	if err != nil || a.Content == "" || a.Content == "0" || a.Name != "game/game-1" {
		t.Errorf("a script's command is answered with %v, %v", a, err)
	}
	var role speakpb.CreateRoleResponse
	if err := ask("CreateRoleRequest", &speakpb.CreateRoleRequest{PlayerId: "ben", RoleId: 5}, &role); err != nil || role.RoleId == 0 || role.PlayerId != "game-1" {
		t.Errorf("a command of Go is answered with %v, %v", &role, err)
	}
	fails := func(err error, code rpc.Code, maybe bool, text string) {
		t.Helper()
		if e := rpc.ErrorOf(err); err == nil || e.Code != code || e.Maybe != maybe || !strings.Contains(e.Text, text) {
			t.Errorf("it fails with %+v, want %v, maybe %v, %q", e, code, maybe, text)
		}
	}
	_, err = inScript("main", "pay", 101)
	fails(err, rpc.FailedPrecondition, false, "ann pays 101 from service")
	fails(ask("CreateRoleRequest", &speakpb.CreateRoleRequest{PlayerId: "ben", RoleId: 102}, &role), rpc.FailedPrecondition, false, "ben pays 102 from service")
	_, err = inScript("main", "pray", 1)
	fails(err, rpc.NotFound, false, `no command "pray"`)
	_, err = inScript("nowhere", "pay", 1)
	fails(err, rpc.Unavailable, true, "nowhere") // as with call: unavailable leaves open what the handler did
	var login speakpb.PlayerLoginResponse
	if err := ask("PlayerLoginRequest", &speakpb.PlayerLoginRequest{}, &login); err != nil || !login.Result {
		t.Errorf("with a default: %v, %v", &login, err)
	}
}
