package bench

import (
	"strconv"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
)

// deltaScenes returns the games whose deltas Deltas measures.
func deltaScenes() []deltaScene {
	return []deltaScene{
		{name: "arena", about: "50 bots and 200 monsters fight", game: arena.Game, options: arena.Options{Monsters: 200, Size: 200, Respawn: 3, TickRate: arena.TickRate}, warmUp: 150, play: arenaBots(50)},
		{name: "effects", about: "300 entities gain and lose 16 effects", game: effects(300), warmUp: 30},
		{name: "bullets", about: "3,000 entities fly, turn, and are replaced within seconds", game: bullets(3000), warmUp: 60},
		{name: "drift", about: "10,000 entities move straight on", game: game(MovingEntities, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) }), warmUp: 3},
	}
}

// arenaBots plays the arena as bots do, but reads the world itself instead of a client's view.
func arenaBots(players int) func() func(*ecs.World, uint64) []ecs.Command {
	return func() func(*ecs.World, uint64) []ecs.Command {
		brains := make([]*arena.Brain, players)
		for i := range brains {
			brains[i] = arena.NewBrain(uint64(i + 1))
		}
		var enemies []arena.Enemy
		return func(w *ecs.World, tick uint64) (all []ecs.Command) {
			if tick == 1 {
				for i := range players {
					all = append(all, ecs.NewCommand(w, client(i), 1, ecs.Join{Identity: ecs.NewText64("bot-" + strconv.Itoa(i))}))
				}
				return all
			}
			w.EachSession(func(s ecs.Session) bool {
				me, _ := ecs.Get[motion.Position](w, s.View)
				enemies = inSight(w, s.View, me, enemies[:0])
				all = append(all, ecs.NewCommand(w, client(int(s.ID)-1), tick, brains[s.ID-1].Next(me.X, me.Y, enemies)))
				return true
			})
			return all
		}
	}
}

func client(i int) ecs.Source { return ecs.Source{Kind: ecs.SourceClient, ID: uint64(i + 1)} }

// inSight appends everyone within 60 m who can be shot.
func inSight(w *ecs.World, self ecs.Entity, me motion.Position, enemies []arena.Enemy) []arena.Enemy {
	for _, t := range w.Tables() {
		for _, e := range t.Entities() {
			h, ok := ecs.Get[damage.Health](w, e)
			if e == self || !ok || h.Points <= 0 {
				continue
			}
			p, _ := ecs.Get[motion.Position](w, e)
			if dx, dy := p.X-me.X, p.Y-me.Y; dx*dx+dy*dy < 60*60 {
				enemies = append(enemies, arena.Enemy{X: p.X, Y: p.Y})
			}
		}
	}
	return enemies
}

// The types of the effects and bullets scenes.
type (
	kind   struct{ Kind int32 }
	until  struct{ Tick uint64 }
	bullet struct {
		Position
		Velocity
		until
		kind
	}
	someone struct{ kind }
	holder  struct {
		Self ecs.Entity
		Kind *kind `ecs:"read"`
	}
	// effect is a different component for each T.
	effect[T any] struct{ Strength uint8 }
)

// bullets returns a game of n entities that live for one to four seconds and turn now and then.
func bullets(n int) ecs.Game {
	return ecs.Game{Name: "bullets", TickRate: tickRate, Setup: func(w *ecs.World) {
		ecs.Component[Position](w, "position")
		ecs.Component[Velocity](w, "velocity")
		ecs.Component[until](w, "until")
		ecs.Component[kind](w, "kind")
		ecs.System(w, "spawn", func(t *ecs.Tick, q *ecs.Query[struct {
			U *until `ecs:"read"`
		}], s *ecs.Spawner[bullet],
		) {
			r := t.Rand(ecs.Entity{})
			for k := q.Count(); k < n; k++ {
				s.New(bullet{
					Position{r.Range(-500, 500), r.Range(-500, 500)},
					Velocity{r.Range(-0.2, 0.2), r.Range(-0.2, 0.2)},
					until{t.Now() + 30 + uint64(r.IntN(90))},
					kind{int32(r.IntN(5))},
				})
			}
		})
		ecs.System(w, "fly", func(t *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			Pos  *Position
			Vel  *Velocity
		}],
		) {
			for m := range q.Each {
				if (t.Now()+uint64(m.Self.ID()))%15 == 0 {
					r := t.Rand(m.Self)
					m.Vel.X, m.Vel.Y = r.Range(-0.2, 0.2), r.Range(-0.2, 0.2)
				}
				m.Pos.X += m.Vel.X
				m.Pos.Y += m.Vel.Y
			}
		})
		ecs.System(w, "expire", func(t *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			U    *until `ecs:"read"`
		}],
		) {
			for m := range q.Each {
				if m.U.Tick <= t.Now() {
					t.Despawn(m.Self)
				}
			}
		})
	}}
}

// effects returns a game whose entities gain or lose each of 16 effects in one tick of 16, so that nearly every change
// creates a new table.
func effects(entities int) ecs.Game {
	return ecs.Game{Name: "effects", TickRate: tickRate, Setup: func(w *ecs.World) {
		ecs.Component[kind](w, "kind")
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[someone]) {
			for i := range entities {
				s.New(someone{kind{int32(i)}})
			}
		})
		for i, add := range []func(*ecs.World, string){
			addEffect[[0]byte], addEffect[[1]byte], addEffect[[2]byte], addEffect[[3]byte], addEffect[[4]byte], addEffect[[5]byte], addEffect[[6]byte], addEffect[[7]byte],
			addEffect[[8]byte], addEffect[[9]byte], addEffect[[10]byte], addEffect[[11]byte], addEffect[[12]byte], addEffect[[13]byte], addEffect[[14]byte], addEffect[[15]byte],
		} {
			add(w, "effect-"+strconv.Itoa(i))
		}
	}}
}

func addEffect[T any](w *ecs.World, name string) {
	ecs.Component[effect[T]](w, name)
	ecs.System(w, name, func(t *ecs.Tick, q *ecs.Query[holder], c *ecs.Comp[effect[T]]) {
		for m := range q.Each {
			switch r := t.Rand(m.Self); {
			case r.IntN(16) != 0:
			case c.Has(m.Self):
				c.Remove(m.Self)
			default:
				c.Set(m.Self, effect[T]{})
			}
		}
	})
}
