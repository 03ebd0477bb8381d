package ecstest

import (
	"errors"
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/ferris1/wind/ecs"
)

// skirmish is a small game that does most of what games do. broken, if given, registers one mistake.
func skirmish(broken func(*ecs.World)) ecs.Game {
	return ecs.Game{Name: "skirmish", TickRate: 30, Options: options{Monsters: 20}, Setup: func(w *ecs.World) {
		ecs.Component[position](w, "position", ecs.Spatial)
		ecs.Component[velocity](w, "velocity")
		ecs.Component[health](w, "health")
		ecs.Component[target](w, "target")
		ecs.Component[near](w, "near", ecs.Transient)
		ecs.Component[player](w, "player")
		ecs.Resource[score](w, "score")
		ecs.Event[death](w, "death")
		ecs.Handle[ecs.Join](w, "wind.join", join)
		ecs.Handle[ecs.Leave](w, "wind.leave", leave)
		ecs.Handle[aim](w, "aim", steer, ecs.Sampled)
		ecs.Handle[strike](w, "strike", hit)
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[monster]) {
			for range ecs.OptionsOf[options](w).Monsters {
				s.New(monster{Health: health{Points: 10}})
			}
		})
		ecs.System(w, "move", move)
		ecs.System(w, "hunt", hunt)
		ecs.System(w, "die", die)
		if broken != nil {
			broken(w)
		}
	}}
}

type (
	options  struct{ Monsters int32 }
	position struct{ X, Y float64 }
	velocity struct{ X, Y float64 }
	health   struct {
		Points int32
		Armour uint8 // padding after it
	}
	target struct{ Prey ecs.Entity }
	near   struct{ Count int32 }
	player struct{ Session uint64 }
	score  struct{ Value, Deaths int64 }
	death  struct{ Of ecs.Entity }

	aim    struct{ X, Y float64 }
	strike struct {
		At    ecs.Entity
		Force int32
	}
	picky struct{ Key uint64 }

	monster struct {
		Position position
		Velocity velocity
		Health   health
		Near     near
	}
	hero struct {
		Position position
		Velocity velocity
		Health   health
		Player   player
	}
)

func (a aim) Validate() error {
	if !(a.X >= -1 && a.X <= 1 && a.Y >= -1 && a.Y <= 1) {
		return errors.New("an aim is at most 1 long")
	}
	return nil
}

func (p picky) Validate() error {
	if p.Key != 0x5eed5eed5eed {
		return errors.New("wrong key")
	}
	return nil
}

func join(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[hero]) {
	e := s.New(hero{Health: health{Points: 30}, Player: player{c.From()}})
	t.Control(c.From(), e)
}

func leave(t *ecs.Tick, c *ecs.Cmd[ecs.Leave], all *ecs.Sessions) {
	if s, ok := all.Get(c.From()); ok {
		t.Despawn(s.View)
	}
}

func steer(t *ecs.Tick, c *ecs.Cmd[aim], all *ecs.Sessions, v *ecs.Comp[velocity]) {
	s, _ := all.Get(c.From())
	if vel := v.Get(s.View); vel != nil {
		vel.X, vel.Y = c.Value.X, c.Value.Y
	}
}

func hit(t *ecs.Tick, c *ecs.Cmd[strike], h *ecs.Comp[health], g *ecs.Comp[target]) {
	if c.Value.Force < 0 {
		c.Reject("no force")
	}
	p := h.Get(c.Value.At)
	if p == nil {
		c.Reject("nobody there")
	}
	p.Points -= min(c.Value.Force, 5)
	g.Set(c.Value.At, target{c.Value.At})
}

func move(t *ecs.Tick, q *ecs.Query[struct {
	P *position
	V *velocity `ecs:"read"`
}],
) {
	for m := range q.Each {
		m.P.X += m.V.X
		m.P.Y += m.V.Y
	}
}

func hunt(t *ecs.Tick, q *ecs.Query[struct {
	E ecs.Entity
	V *velocity
	N *near
	_ ecs.Without[player]
}],
) {
	for m := range q.Each {
		r := t.Rand(m.E)
		m.V.X, m.V.Y = r.Range(-1, 1), r.Range(-1, 1)
		m.N.Count++
		if m.N.Count != 1 {
			panic("a transient was not zeroed")
		}
	}
}

func die(t *ecs.Tick, q *ecs.Query[struct {
	E ecs.Entity
	H *health
}], deaths *ecs.Events[death], s *ecs.Res[score], g *ecs.Comp[target], monsters *ecs.Spawner[monster],
) {
	for m := range q.Each {
		if m.H.Points > 0 {
			if t.Now()%16 == 0 {
				g.Remove(m.E)
			}
			continue
		}
		deaths.Emit(death{m.E})
		s.Get().Deaths++
		t.Despawn(m.E)
		monsters.New(monster{Health: health{Points: 10}})
	}
}

// playSkirmish plays one session of skirmish.
func playSkirmish(w *ecs.World, session uint64, r *rand.Rand) []ecs.Command {
	return []ecs.Command{ecs.NewCommand(w, ecs.Source{}, 0, aim{r.Float64(), r.Float64()})}
}

// The mistakes.

type bodies = ecs.Query[struct {
	E ecs.Entity
	P *position
	H *health
}]

var calls int32

func breakByGlobal(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, q *bodies) {
		for m := range q.Each {
			calls++
			m.H.Points = 10 + calls%7
		}
	})
}

var latest uint64

func breakByLeftover(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		if t.Now() > latest {
			latest = t.Now()
			s.Get().Value++
		}
	})
}

func breakByClosure(w *ecs.World) {
	n := int64(0)
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		n++
		s.Get().Value = n
	})
}

func breakByMap(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		for k := range map[int64]bool{1: true, 2: true, 3: true, 4: true, 5: true} {
			s.Get().Value = 31*s.Get().Value + k
		}
	})
}

func breakByClock(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) { s.Get().Value = time.Now().UnixNano() })
}

func breakByAddress(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		s.Get().Value = int64(uintptr(unsafe.Pointer(s.Get())))
	})
}

func breakByReadTag(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, q *ecs.Query[struct {
		P *position `ecs:"read"`
		_ ecs.Without[velocity]
	}], s *ecs.Spawner[struct{ P position }],
	) {
		if t.Now() == 20 {
			s.New(struct{ P position }{})
		}
		for m := range q.Each {
			m.P.X++
		}
	})
}

func breakByKeptPointer(w *ecs.World) {
	// In a component that no other system writes, or detection would see the change by luck.
	var kept *player
	ecs.System(w, "broken", func(t *ecs.Tick, q *ecs.Query[struct {
		P *player
		_ ecs.Without[position]
	}], s *ecs.Spawner[struct{ P player }],
	) {
		if t.Now() == 20 {
			s.New(struct{ P player }{})
		}
		if kept != nil {
			kept.Session++
			return
		}
		for m := range q.Each {
			kept = m.P
		}
	})
}

func breakBySetup(w *ecs.World) {
	for name := range map[string]bool{"ale": true, "beer": true, "cider": true, "mead": true} {
		ecs.Resource[drink](w, name)
		break
	}
}

func breakByAllocation(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		list := make([]int64, 10+t.Now()%3)
		s.Get().Value = int64(len(list))
		sink = list
	})
}

var sink []int64

type drink struct{ Mugs int32 }

type trusting struct{ Index uint8 }

func breakByPanic(w *ecs.World) {
	ecs.Handle[trusting](w, "trusting", func(t *ecs.Tick, c *ecs.Cmd[trusting], s *ecs.Res[score]) {
		s.Get().Value = [8]int64{}[c.Value.Index]
	})
}

func breakBySystemPanic(w *ecs.World) {
	ecs.System(w, "broken", func(t *ecs.Tick, s *ecs.Res[score]) {
		if t.Now() == 100 {
			panic("at a hundred")
		}
	})
}
