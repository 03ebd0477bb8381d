package systems_test

import (
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/interest"
	"github.com/ferris1/wind/systems/lifetime"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
	"github.com/ferris1/wind/systems/respawn"
)

// turret shoots at the first target it sees.
type turret struct {
	motion.Position
	interest.Watcher
	interest.Seen
}

// target bounces around, dies and comes back.
type target struct {
	motion.Position
	motion.Velocity
	projectile.Body
	damage.Health
	respawn.Respawn
}

type shot struct {
	motion.Position
	projectile.Shot
	lifetime.Lifetime
}

type gunner struct {
	Self ecs.Entity
	Pos  *motion.Position `ecs:"read"`
	Seen *interest.Seen   `ecs:"read"`
}

func shoot(t *ecs.Tick, guns *ecs.Query[gunner], pos *ecs.Comp[motion.Position], shots *ecs.Spawner[shot]) {
	for g := range guns.Each {
		if g.Seen.Count == 0 || (t.Now()+uint64(g.Self.ID()))%5 != 0 {
			continue
		}
		if at := pos.Get(g.Seen.Who[0]); at != nil {
			shots.New(shot{
				Position: *g.Pos,
				Shot:     projectile.Shot{VX: float64((at.X - g.Pos.X) * 0.5), VY: float64((at.Y - g.Pos.Y) * 0.5), Owner: g.Self, Points: 30},
				Lifetime: lifetime.Of(t, 10),
			})
		}
	}
}

// yard uses every system in this folder.
var yard = ecs.Game{Name: "yard", TickRate: 30, Setup: func(w *ecs.World) {
	area := grid.Area{MinX: -30, MinY: -30, MaxX: 30, MaxY: 30}
	motion.Register(w)
	damage.Register(w)
	projectile.Register(w)
	lifetime.Register(w)
	respawn.Register(w)
	interest.Register(w)
	ecs.Init(w, func(t *ecs.Tick, b *ecs.Res[motion.Bounds], turrets *ecs.Spawner[turret], targets *ecs.Spawner[target]) {
		*b.Get() = motion.Bounds(area)
		r := t.Rand(ecs.Entity{})
		for range 8 {
			turrets.New(turret{
				Position: motion.Position{X: r.Range(-30, 30), Y: r.Range(-30, 30)},
				Watcher:  interest.Watcher{Radius: 10, Keep: 12},
			})
		}
		for range 60 {
			targets.New(target{
				Position: motion.Position{X: r.Range(-30, 30), Y: r.Range(-30, 30)},
				Velocity: motion.Velocity{X: r.Range(-0.5, 0.5), Y: r.Range(-0.5, 0.5)},
				Body:     projectile.Body{Radius: 0.5}, Health: damage.Full(100), Respawn: respawn.Respawn{DelayTicks: 20},
			})
		}
	})
	ecs.System(w, "move", motion.Move)
	ecs.System(w, "bounce", motion.Bounce)
	ecs.System(w, "watch", interest.Watch[damage.Health](interest.Options{Area: area}))
	ecs.System(w, "shoot", shoot)
	ecs.System(w, "fly", projectile.Fly[respawn.Down](projectile.Options{Area: area}))
	ecs.System(w, "wound", projectile.Wound)
	ecs.System(w, "damage", damage.Apply)
	ecs.System(w, "fall", respawn.Fall)
	ecs.System(w, "rise", respawn.Rise(nil))
	ecs.System(w, "expire", lifetime.Expire)
	ecs.System(w, "cull", motion.Cull[projectile.Shot])
}}

// The grids and scratch arrays that the systems keep between ticks must not affect the result: a restored world, which
// starts with empty ones, lives the same future.
func TestSystemsKeepWindsPromises(t *testing.T) { ecstest.Run(t, yard) }

func TestTheYardIsBusy(t *testing.T) {
	w, err := ecs.New(yard, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for range 1000 {
		o := w.Step(ecs.Frame{Tick: w.Tick() + 1})
		for _, e := range o.Events {
			told[e.Name] += e.Count
		}
	}
	for _, name := range []string{"entered", "left", "hit", "death", "risen"} {
		if told[name] < 5 {
			t.Errorf("%d × %s in 1000 ticks: %v", told[name], name, told)
		}
	}
}
