package arena

import (
	"math"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
	"github.com/ferris1/wind/systems/respawn"
)

const (
	monsterHealth = 40   // points
	monsterRadius = 0.6  // metres
	monsterSpeed  = 0.15 // metres per tick: 4.5 m/s
	strollSpeed   = 0.04 // metres per tick, without a player in sight
	sight         = 25.0 // metres within which it chases
	reach         = 1.3  // metres within which it bites
	bitePoints    = 8    // damage
	biteTicks     = 20   // between two bites
	strollTicks   = 90   // between two turns of a stroll
)

// Monster chases the nearest player in sight and bites.
type Monster struct {
	BiteAt uint64 `wind:"-"` // the first tick in which it may bite again
}

type newMonster struct {
	Monster
	motion.Position
	motion.Velocity
	damage.Health
	projectile.Body
}

// restock returns the system that keeps Options.Monsters monsters alive.
func restock(o Options) func(*ecs.Tick, *ecs.Query[herd], *ecs.Spawner[newMonster]) {
	far := float64(o.Size/2) - 0.5
	return func(t *ecs.Tick, alive *ecs.Query[herd], monsters *ecs.Spawner[newMonster]) {
		r := t.Rand(ecs.Entity{})
		for n := alive.Count(); n < int(o.Monsters); n++ {
			monsters.New(newMonster{
				Position: motion.Position{X: r.Range(-far, far), Y: r.Range(-far, far)},
				Health:   damage.Full(monsterHealth),
				Body:     projectile.Body{Radius: monsterRadius},
			})
		}
	}
}

type herd struct {
	Monster *Monster `ecs:"read"`
}

type hunter struct {
	Self    ecs.Entity
	Pos     *motion.Position `ecs:"read"`
	Vel     *motion.Velocity
	Monster *Monster
}

type prey struct {
	Self ecs.Entity
	Pos  *motion.Position `ecs:"read"`
	_    ecs.With[Player]
	_    ecs.Without[respawn.Down]
}

// chase returns the system in which a monster runs at the nearest player in sight, bites it within reach, and strolls
// when it sees nobody.
func chase(area grid.Area, pace pace) func(*ecs.Tick, *ecs.Query[hunter], *ecs.Query[prey], *ecs.Events[damage.Damage]) {
	players := grid.New[ecs.Entity](area, sight/2)
	speed, slow := pace.speed(monsterSpeed), pace.speed(strollSpeed)
	rest, turn := pace.ticks(biteTicks), pace.ticks(strollTicks)
	return func(t *ecs.Tick, monsters *ecs.Query[hunter], living *ecs.Query[prey], bites *ecs.Events[damage.Damage]) {
		players.Reset()
		for p := range living.Each {
			players.Add(p.Pos.X, p.Pos.Y, p.Self)
		}
		players.Build()
		for m := range monsters.Each {
			target := players.Nearest(m.Pos.X, m.Pos.Y, sight, nil)
			if target == nil {
				stroll(t, m, slow, turn)
				continue
			}
			dx, dy := target.X-m.Pos.X, target.Y-m.Pos.Y
			away := math.Sqrt(float64(dx*dx) + float64(dy*dy))
			if away > reach {
				m.Vel.X, m.Vel.Y = float64(dx/away*speed), float64(dy/away*speed)
				continue
			}
			*m.Vel = motion.Velocity{}
			if t.Now() >= m.Monster.BiteAt {
				m.Monster.BiteAt = t.Now() + rest
				bites.Emit(damage.Damage{Target: target.Value, Source: m.Self, Points: bitePoints})
			}
		}
	}
}

// stroll turns a monster now and then, each at a different time.
func stroll(t *ecs.Tick, m hunter, speed float64, every uint64) {
	if (t.Now()+uint64(m.Self.ID()))%every != 0 {
		return
	}
	r := t.Rand(m.Self)
	x, y := Angle(r.IntN(65536)).Vector()
	m.Vel.X, m.Vel.Y = float64(x*speed), float64(y*speed)
}
