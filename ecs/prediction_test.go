package ecs_test

import (
	"math"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// The game of these tests: a walker that a client predicts, with a field that does not travel, a wall, and a system that a client does not run.
type (
	predPos struct {
		X float64 `wind:"q=0.01"`
		Y float64 `wind:"q=0.01"`
	}
	predVel   struct{ X, Y float64 }
	predWant  struct{ X, Y int8 }
	predPower struct {
		Left    uint32
		ReadyAt uint64 `wind:"-"`
		Friend  ecs.Entity
	}
	predWall  struct{ X float64 }
	predStun  struct{}
	predNote  struct{ At uint64 }
	predInput struct{ X, Y int8 }
	predShot  struct{ Pos predPos }
)

func predictGame(names ...string) ecs.Game {
	return ecs.Game{Name: "predict", TickRate: 20, Setup: func(w *ecs.World) {
		ecs.Component[predPos](w, "pos", ecs.Spatial)
		ecs.Component[predVel](w, "vel")
		ecs.Component[predWant](w, "want", ecs.Transient)
		ecs.Component[predPower](w, "power", ecs.Replicated)
		ecs.Component[predStun](w, "stun", ecs.Replicated)
		ecs.Resource[predWall](w, "wall")
		ecs.Event[predNote](w, "note")
		ecs.Init(w, func(_ *ecs.Tick, wall *ecs.Res[predWall]) { wall.Get().X = 3 })
		ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[struct {
			predPos
			predVel
			predWant
			predPower
		}],
		) {
			var b struct {
				predPos
				predVel
				predWant
				predPower
			}
			b.Left = 100
			e := s.New(b)
			t.Control(c.From(), e)
		})
		ecs.Handle[predInput](w, "input", func(_ *ecs.Tick, c *ecs.Cmd[predInput], sessions *ecs.Sessions, wants *ecs.Comp[predWant]) {
			if s, ok := sessions.Get(c.From()); ok {
				if x := wants.Get(s.View); x != nil {
					*x = predWant(c.Value)
				}
			}
		}, ecs.Sampled)
		type walker struct {
			Self  ecs.Entity
			Want  *predWant `ecs:"read"`
			Vel   *predVel
			Power *predPower
			_     ecs.Without[predStun]
		}
		ecs.System(w, "walk", func(t *ecs.Tick, q *ecs.Query[walker], shots *ecs.Spawner[predShot], notes *ecs.Events[predNote]) {
			for m := range q.Each {
				m.Vel.X, m.Vel.Y = float64(m.Want.X)/100, float64(m.Want.Y)/100
				m.Power.Friend = m.Self
				if m.Want.X != 0 && t.Now() >= m.Power.ReadyAt {
					m.Power.Left--
					m.Power.ReadyAt = t.Now() + 4
					shots.New(predShot{})
					notes.Emit(predNote{t.Now()})
				}
			}
		})
		type moving struct {
			Pos *predPos
			Vel *predVel `ecs:"read"`
		}
		ecs.System(w, "move", func(_ *ecs.Tick, q *ecs.Query[moving], wall *ecs.Res[predWall]) {
			for m := range q.Each {
				m.Pos.X = min(m.Pos.X+m.Vel.X, wall.Get().X)
				m.Pos.Y += m.Vel.Y
			}
		})
		ecs.System(w, "wind", func(t *ecs.Tick, q *ecs.Query[moving]) { // the client does not know of it
			for m := range q.Each {
				if t.Now() == 30 {
					m.Pos.Y += 5
				}
			}
		})
		ecs.Predict(w, names...)
	}}
}

// knownOf returns what a client that gets every update knows of an entity: rounded, and without what does not travel.
func knownOf(t *testing.T, w *ecs.World, e ecs.Entity) ecs.Known {
	t.Helper()
	return func(dst []byte, name string) ([]byte, bool) {
		switch name {
		case "pos":
			p, ok := ecs.Get[predPos](w, e)
			p.X, p.Y = math.Round(p.X*100)/100, math.Round(p.Y*100)/100
			return ecs.PackValue(dst, p), ok
		case "power":
			p, ok := ecs.Get[predPower](w, e)
			p.ReadyAt = 0
			return ecs.PackValue(dst, p), ok
		case "stun":
			_, ok := ecs.Get[predStun](w, e)
			return dst, ok
		}
		t.Errorf("asked for %s, which clients do not get", name)
		return dst, false
	}
}

func none(dst []byte, _ string) ([]byte, bool) { return dst, false }

// TestAPredictionIsWhatTheServerDoes: a client runs its entity ahead, by the game's own systems, and the server's updates agree, though
// they arrive six ticks later and are rounded. What the client cannot know is corrected once, and everything agrees again.
func TestAPredictionIsWhatTheServerDoes(t *testing.T) {
	const session, delay = 7, 6
	game := predictGame("input", "walk", "move")
	server, err := ecs.New(game, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 9 { // others, so that the player's entity has another number on the server than here
		server.Step(ecs.Frame{Tick: server.Tick() + 1, Commands: []ecs.Command{
			ecs.NewCommand(server, ecs.Source{Kind: ecs.SourceClient, ID: session + server.Tick() + 1}, 1, ecs.Join{}),
		}})
	}
	server.Step(ecs.Frame{Tick: 10, Commands: []ecs.Command{ecs.NewCommand(server, ecs.Source{Kind: ecs.SourceClient, ID: session}, 1, ecs.Join{})}})
	x, _ := server.Session(session)
	self := x.View

	p, err := ecs.NewPrediction(game, nil, session)
	if err != nil || p == nil {
		t.Fatalf("%v, %v", p, err)
	}
	input := func(tick uint64) []ecs.Command {
		v := predInput{X: int8(tick * 13 % 101), Y: int8(tick*29%61) - 30}
		if tick%17 > 11 {
			v.X = 0
		}
		return []ecs.Command{ecs.NewCommand(server, ecs.Source{Kind: ecs.SourceClient, ID: session}, tick, v)}
	}
	history := map[uint64][]byte{}
	p.Place(10, self, knownOf(t, server, self), none)
	corrections := 0
	for tick := uint64(11); tick < 120; tick++ {
		p.Step(input(tick))
		history[tick] = p.Save(nil)
		if p.Tick() != tick || !p.Alive() {
			t.Fatalf("after tick %d the prediction is at %d", tick, p.Tick())
		}
		if tick < 11+delay {
			continue
		}
		at := tick - delay
		server.Step(ecs.Frame{Tick: at, Commands: input(at)})
		if p.Agrees(history[at], knownOf(t, server, self)) {
			continue
		}
		corrections++
		p.Load(history[at])
		p.Place(at, self, knownOf(t, server, self), none)
		for again := at + 1; again <= tick; again++ {
			p.Step(input(again))
			history[again] = p.Save(nil)
		}
		if b, _ := p.Component(nil, "pos"); at == 30 {
			if v, _ := ecs.UnpackValue[predPos](b); v.Y < 4 {
				t.Errorf("after the correction the client is at %+v", v)
			}
		}
	}
	if corrections != 1 {
		t.Errorf("%d corrections, want one: that of tick 30", corrections)
	}
	for tick := p.Tick() - delay + 1; tick <= p.Tick(); tick++ {
		server.Step(ecs.Frame{Tick: tick, Commands: input(tick)})
	}
	b, ok := p.Component(nil, "power")
	mine, err := ecs.UnpackValue[predPower](b)
	theirs, _ := ecs.Get[predPower](server, self)
	if !ok || err != nil || mine != theirs || mine.Left == 100 || mine.Friend != self {
		t.Errorf("the client predicts %+v, the server has %+v, %v", mine, theirs, err)
	}
}

// TestAPredictionFollowsTheServersComponents: a component that comes or goes on the server does so here, and a prediction that a system
// has ended begins again.
func TestAPredictionFollowsTheServersComponents(t *testing.T) {
	p, err := ecs.NewPrediction(predictGame("input", "walk", "move"), nil, 7)
	if err != nil {
		t.Fatal(err)
	}
	stunned, has := false, true
	known := func(dst []byte, name string) ([]byte, bool) {
		switch {
		case name == "pos" && has:
			return ecs.PackValue(dst, predPos{1, 1}), true
		case name == "power" && has:
			return ecs.PackValue(dst, predPower{Left: 5}), true
		case name == "stun":
			return dst, stunned
		}
		return dst, false
	}
	go1 := []ecs.Command{{Kind: 2, Source: ecs.Source{Kind: ecs.SourceClient, ID: 7}, Seq: 1, Payload: ecs.PackValue(nil, predInput{X: 100})}}
	pos := func() predPos {
		b, _ := p.Component(nil, "pos")
		v, _ := ecs.UnpackValue[predPos](b)
		return v
	}
	if p.Alive() || len(p.Save(nil)) != 8 {
		t.Error("there is an entity before Place")
	}
	p.Step(go1)
	self := ecs.EntityFrom(400, 3)
	p.Place(50, self, known, none)
	p.Step(go1)
	if got := pos(); got != (predPos{2, 1}) {
		t.Errorf("it walks to %+v", got)
	}
	saved := p.Save(nil)
	stunned = true
	if p.Agrees(saved, known) {
		t.Error("a component more agrees")
	}
	p.Place(51, self, known, none)
	p.Step(go1)
	if got := pos(); got != (predPos{2, 1}) { // the last velocity
		t.Errorf("stunned, it walks to %+v", got)
	}
	p.Load(saved)
	if got := pos(); got != (predPos{2, 1}) || p.Tick() != 51 {
		t.Errorf("loaded, it is at %+v, tick %d", got, p.Tick())
	}
	has = false
	p.Place(52, self, known, none)
	if _, ok := p.Component(nil, "pos"); ok {
		t.Error("it has a position that the server does not have")
	}
	p.Step(nil)
}

// TestPredictRefusesWhatAClientCannotRun: unknown names, and commands whose tick a client does not know.
func TestPredictRefusesWhatAClientCannotRun(t *testing.T) {
	for names, want := range map[string]string{"walk,jump": `no system and no command "jump"`, "wind.join": "not sampled"} {
		if _, err := ecs.New(predictGame(strings.Split(names, ",")...), ecs.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Predict(%s): %v", names, err)
		}
	}
	if p, err := ecs.NewPrediction(predictGame(), nil, 1); p != nil || err != nil {
		t.Errorf("a game that predicts nothing: %v, %v", p, err)
	}
}
