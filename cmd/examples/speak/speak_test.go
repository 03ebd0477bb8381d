package speak

import (
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

var update = flag.Bool("update", false, "rewrite testdata/numbers.golden")

func TestNothingIsEverRenumbered(t *testing.T) {
	const path = "testdata/numbers.golden"
	have := rpc.Numbers(speakpb.File_speakpb_speak_proto)
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(have, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("no longer true: %s", line)
		}
	}
	if !t.Failed() && len(have) != len(want) {
		t.Error("the schema has grown: run `go test ./cmd/examples/speak -update` and commit testdata/numbers.golden")
	}
}

// startService runs the game's service without a network, on the test's own store.
func startService(t *testing.T, bus *rpc.MemoryBus, store rpc.Store) *service.Service {
	t.Helper()
	modules, err := script.ReadFolder(Scripts(), "game")
	if err != nil {
		t.Fatal(err)
	}
	s, err := service.New(service.Config{Type: "game", ID: "game-1", Scripts: modules, Files: Services[0].Files, Login: Services[0].Login, Bus: bus, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a message as a player's client would, and reads the answer into out.
func ask(t *testing.T, s *service.Service, player string, m, out proto.Message) {
	t.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan rpc.Response, 1)
	s.Handle(&rpc.Request{
		Message: string(m.ProtoReflect().Descriptor().Name()), Payload: payload, Player: player, Session: "gateway-1/1", Timeout: 20 * time.Second,
	}, func(a rpc.Response) { done <- a })
	a := <-done
	if a.Err != nil {
		t.Fatalf("%T: %v", m, a.Err)
	}
	if out == nil {
		if a.Message != "" {
			t.Fatalf("%T got the answer %s, want none", m, a.Message)
		}
		return
	}
	if err := proto.Unmarshal(a.Payload, out); err != nil {
		t.Fatal(err)
	}
}

func TestARoleOutlivesItsService(t *testing.T) {
	store := rpc.NewMemoryStore()
	var login speakpb.PlayerLoginResponse
	var created speakpb.CreateRoleResponse
	var role speakpb.RoleResponse
	first := startService(t, rpc.NewMemoryBus(), store)
	ask(t, first, "ann", &speakpb.PlayerLoginRequest{PlayerId: "ann"}, &login)
	ask(t, first, "ann", &speakpb.RoleRequest{}, &role)
	if !login.Result || role.RoleId != 0 {
		t.Fatalf("login %v, role %v", &login, &role)
	}
	ask(t, first, "ann", &speakpb.CreateRoleRequest{PlayerId: "ann", RoleId: 1010}, &created)
	ask(t, startService(t, rpc.NewMemoryBus(), store), "ann", &speakpb.RoleRequest{}, &role)
	if !created.Result || role.RoleId != 1010 || role.PlayerId != "ann" {
		t.Fatalf("created %v, role %v", &created, &role)
	}
}

func TestWhatOneDoesEveryoneSees(t *testing.T) {
	bus := rpc.NewMemoryBus()
	s := startService(t, bus, rpc.NewMemoryStore())
	move := &speakpb.Vector2{X: 1, Y: 2}
	place := &speakpb.Vector3{X: 1, Y: 2, Z: 3}
	ask(t, s, "ann", &speakpb.SpeakOnWorldRequest{Name: "Ann", Content: "hello"}, nil)
	ask(t, s, "ann", &speakpb.PlayerJoinRoomRequest{}, nil)
	ask(t, s, "ann", &speakpb.PlayerMoveRequest{Move: move, Look: move}, nil)
	ask(t, s, "ann", &speakpb.PlayerUpdateTransformRequest{Position: place, Rotation: place}, nil)
	want := []proto.Message{
		&speakpb.SpeakOnWorldResponse{SpeakId: "ann", Name: "Ann", Content: "hello"},
		&speakpb.PlayerJoinRoomResponse{PlayerId: "ann", Result: true},
		&speakpb.PlayerMoveResponse{PlayerId: "ann", Move: move, Look: move},
		&speakpb.PlayerUpdateTransformResponse{PlayerId: "ann", Position: place, Rotation: place},
	}
	pushes := bus.Pushes()
	if len(pushes) != len(want) {
		t.Fatalf("%d pushes, want %d", len(pushes), len(want))
	}
	for i, p := range pushes {
		got := want[i].ProtoReflect().New().Interface()
		if err := proto.Unmarshal(p.Payload, got); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, want[i]) || p.Player != "" {
			t.Errorf("push %d to %q is %v, want %v to all", i, p.Player, got, want[i])
		}
	}
}

func TestTheSquareKeepsWindsPromises(t *testing.T) {
	ecstest.Run(t, Game, ecstest.Config{Options: Options{Fireflies: 30}, Allocs: 64}) // the scripts' interpreter allocates
}

func TestTheSquareBeginsWithItsScripts(t *testing.T) {
	w, err := ecs.New(Game, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	commands, err := script.Genesis(w)
	if err != nil || len(commands) == 0 {
		t.Fatalf("%d commands, %v", len(commands), err)
	}
	for tick := uint64(1); tick <= 60; tick++ {
		out := w.Step(ecs.Frame{Tick: tick, Commands: commands})
		if len(out.Failures) > 0 {
			t.Fatalf("tick %d: %v", tick, out.Failures)
		}
		commands = nil
	}
	status, err := script.InForce(w)
	if err != nil || status.Generation != 1 || len(status.Modules) == 0 {
		t.Fatalf("scripts in force: %v, %v", status, err)
	}
}
