package main

import (
	"os"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/service"
)

// The builds of one small game. A test process runs the one that WIND_TEST_GAME names; the component that a build changes
// is registered here and nowhere else.
type (
	mark  struct{ X, Y float64 }
	markZ struct { // with a field inserted
		X float64
		Z float32
		Y float64
	}
	extra struct{ N int32 }
	nudge struct{ By float64 }
)

// build is how one build of the game registers its types, and where it computes otherwise.
type build struct {
	name  string // of the game
	setup func(w *ecs.World)
}

// marks is the game around its one component.
func marks[M any](component string, move func(t *ecs.Tick, m *M)) func(w *ecs.World) {
	type view struct{ Mark *M }
	type body struct{ Mark M }
	return func(w *ecs.World) {
		ecs.Component[M](w, component)
		ecs.Handle[nudge](w, "nudge", func(*ecs.Tick, *ecs.Cmd[nudge]) {})
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[body]) {
			for range 5 {
				s.New(body{})
			}
		})
		ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[view]) {
			for v := range q.Each {
				move(t, v.Mark)
			}
		})
	}
}

func moved(_ *ecs.Tick, m *mark) { m.X += 0.5 }

var builds = map[string]build{
	"first":   {"marks", marks("mark", moved)},
	"renamed": {"marks", marks("spot", moved)},
	"field":   {"marks", marks("mark", func(_ *ecs.Tick, m *markZ) { m.X += 0.5 })},
	"front": {"marks", func(w *ecs.World) {
		ecs.Component[extra](w, "extra")
		marks("mark", moved)(w)
	}},
	"drifts": {"marks", marks("mark", func(t *ecs.Tick, m *mark) {
		m.X += 0.5
		if t.Now() >= 20 {
			m.Y -= 0.25
		}
	})},
	"dies": {"marks", marks("mark", func(t *ecs.Tick, m *mark) {
		if m.X += 0.5; t.Now() == 20 {
			os.Exit(42) // no panic, which would be contained
		}
	})},
	"other": {"others", marks("mark", moved)},
}

// hangs is the handler of a service that never returns.
type hangs struct{}

func (hangs) SpeakOnWorldRequest(*service.Ctx, *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	select {}
}

// runBuild runs the verbs for one of the builds, or for a game with a service that hangs.
func runBuild(name string) {
	if name == "count" {
		runCount()
	}
	if name == "hangs" {
		cmd.Main(ecs.Game{Name: name, TickRate: 30, Setup: marks("mark", moved)}, cmd.WithServices(node.Service{
			Type: "game", Files: []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto},
			Handlers: func() (client, server []any) { return nil, []any{hangs{}} },
		}))
	}
	b := builds[name]
	cmd.Main(ecs.Game{Name: b.name, TickRate: 30, Setup: b.setup})
}
