package arena

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/lifetime"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
	"github.com/ferris1/wind/systems/respawn"
)

// Weapon is a kind of gun.
type Weapon uint8

// The weapons.
const (
	Rifle   Weapon = iota // fast and accurate
	Shotgun               // five pellets, short range
	Cannon                // slow and heavy
	weapons
)

// spec describes a weapon.
type spec struct {
	points   int32   // damage of one pellet
	speed    float64 // metres per tick
	radius   float64 // of a pellet, metres
	ticks    uint32  // longest flight
	cooldown uint64  // ticks between two shots
	pellets  int32
	spread   Angle // between two pellets
}

func (w Weapon) spec() spec {
	switch w {
	case Shotgun:
		return spec{points: 9, speed: 1.2, ticks: 12, cooldown: 24, pellets: 5, spread: 600}
	case Cannon:
		return spec{points: 60, speed: 0.9, radius: 0.4, ticks: 60, cooldown: 45, pellets: 1}
	default:
		return spec{points: 12, speed: 2, ticks: 30, cooldown: 6, pellets: 1}
	}
}

// Gun is the weapon that a player holds.
type Gun struct {
	Weapon  Weapon
	ReadyAt uint64 `wind:"-"` // the first tick in which it may shoot again
}

// Choose is the command to change weapons. It is reliable: it arrives exactly once and gets a reply.
type Choose struct{ Weapon Weapon }

// Validate rejects a weapon that does not exist.
func (c Choose) Validate() error {
	if c.Weapon >= weapons {
		return fmt.Errorf("arena: weapon %d does not exist: the last one is %d", c.Weapon, weapons-1)
	}
	return nil
}

// choose changes a player's weapon. The new one is ready when the old one would have been, so that changing weapons does
// not increase the rate of fire.
func choose(_ *ecs.Tick, c *ecs.Cmd[Choose], sessions *ecs.Sessions, guns *ecs.Comp[Gun], down *ecs.Comp[respawn.Down]) {
	s, _ := sessions.Get(c.From())
	g := guns.Get(s.View)
	if g == nil {
		c.Reject("you have no player")
		return
	}
	if down.Has(s.View) {
		c.Reject("you are dead")
		return
	}
	g.Weapon = c.Value.Weapon
}

type shooter struct {
	Self   ecs.Entity
	Intent *Intent          `ecs:"read"`
	Pos    *motion.Position `ecs:"read"`
	Gun    *Gun
	_      ecs.Without[respawn.Down]
}

type newShot struct {
	projectile.Shot
	motion.Position
	lifetime.Lifetime
}

// shoot fires every gun that has its trigger pulled and has cooled down.
func shoot(pace pace) func(*ecs.Tick, *ecs.Query[shooter], *ecs.Spawner[newShot], *ecs.Res[Score]) {
	return func(t *ecs.Tick, shooters *ecs.Query[shooter], shots *ecs.Spawner[newShot], score *ecs.Res[Score]) {
		for s := range shooters.Each {
			if !s.Intent.Fire || t.Now() < s.Gun.ReadyAt {
				continue
			}
			w := s.Gun.Weapon.spec()
			speed := pace.speed(w.speed)
			s.Gun.ReadyAt = t.Now() + pace.ticks(w.cooldown)
			score.Get().Shots++
			for i := range w.pellets {
				x, y := (s.Intent.Aim + Angle(i-w.pellets/2)*w.spread).Vector()
				shots.New(newShot{
					Shot: projectile.Shot{
						VX: float64(x * speed), VY: float64(y * speed),
						Radius: w.radius, Owner: s.Self, Points: w.points,
					},
					Position: *s.Pos,
					Lifetime: lifetime.Of(t, uint32(pace.ticks(uint64(w.ticks)))),
				})
			}
		}
	}
}
