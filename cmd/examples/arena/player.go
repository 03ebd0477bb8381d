package arena

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/detmath"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
	"github.com/ferris1/wind/systems/respawn"
)

const (
	playerHealth = 100  // points
	playerRadius = 0.5  // metres
	playerSpeed  = 0.25 // metres per tick: 7.5 m/s
)

// Player is a session's character in the arena.
type Player struct {
	Name    ecs.Text16
	Session uint64 `wind:"-"` // the session that controls it
	Kills   uint32
	Deaths  uint32
}

// Facing is where a player looks. It is a component of its own because it changes in every tick, unlike Player: deltas
// and updates carry a component whole or not at all.
type Facing struct{ Aim Angle }

// Angle is a direction in 1/65536 of a turn, counter-clockwise from the positive x axis. It wraps around naturally and
// costs two bytes in a command.
type Angle uint16

// Vector returns the direction's unit vector.
func (a Angle) Vector() (x, y float64) {
	y, x = detmath.SinCos(float64(a) * (2 * detmath.Pi / 65536))
	return x, y
}

// angleOf returns the direction of a vector; the zero vector gives 0.
func angleOf(x, y float64) Angle {
	return Angle(detmath.ToInt32(detmath.Round(detmath.Atan2(y, x) * (65536 / (2 * detmath.Pi)))))
}

// Input is the command that a player's client sends for every tick. If it arrives too late, the previous one is used again.
type Input struct {
	MoveX, MoveY int8  // where to walk: per cent of full speed along each axis, -100 to 100
	Aim          Angle // where to look
	Fire         bool  // whether the trigger is pulled
}

// Validate rejects a walk above full speed. It runs before the input is logged.
func (i Input) Validate() error {
	if i.MoveX < -100 || i.MoveX > 100 || i.MoveY < -100 || i.MoveY > 100 {
		return fmt.Errorf("arena: a walk of (%d, %d) per cent is not within -100 to 100", i.MoveX, i.MoveY)
	}
	return nil
}

// Intent is this tick's Input. It is transient: each tick sets it again.
type Intent struct {
	Input
	Given bool // whether the tick has an input
}

type newPlayer struct {
	Player
	Facing
	Gun
	Intent
	motion.Position
	motion.Velocity
	damage.Health
	projectile.Body
	respawn.Respawn
}

// join returns the handler that gives a new session its player.
func join(o Options) func(*ecs.Tick, *ecs.Cmd[ecs.Join], *ecs.Spawner[newPlayer]) {
	place, delay := anywhere(o), detmath.ToUint32(o.Respawn*float64(o.TickRate))
	return func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], players *ecs.Spawner[newPlayer]) {
		n := newPlayer{
			Player:  Player{Session: c.From()},
			Gun:     Gun{Weapon: Rifle},
			Health:  damage.Full(playerHealth),
			Body:    projectile.Body{Radius: playerRadius},
			Respawn: respawn.Respawn{DelayTicks: delay},
		}
		n.Name = ecs.NewText16(c.Value.Identity.String())
		n.Position.X, n.Position.Y = place(t, ecs.Entity{})
		t.Control(c.From(), players.New(n))
	}
}

// leave removes a session's player from the arena.
func leave(t *ecs.Tick, c *ecs.Cmd[ecs.Leave], sessions *ecs.Sessions) {
	if s, ok := sessions.Get(c.From()); ok {
		t.Despawn(s.View)
	}
}

// input records what a player wants in this tick.
// The player of a silent client stops and keeps its aim.
func input(_ *ecs.Tick, c *ecs.Cmd[Input], sessions *ecs.Sessions, intents *ecs.Comp[Intent]) {
	if c.Neutral() {
		return
	}
	if s, ok := sessions.Get(c.From()); ok {
		if i := intents.Get(s.View); i != nil {
			*i = Intent{Input: c.Value, Given: true}
		}
	}
}

type walker struct {
	Intent *Intent `ecs:"read"`
	Facing *Facing
	Vel    *motion.Velocity
	_      ecs.Without[respawn.Down]
}

// walk returns the system that sets the aim and velocity of players from their intents. Fallen players stand still.
func walk(pace pace) func(*ecs.Tick, *ecs.Query[walker], *ecs.Query[corpse]) {
	full := pace.speed(playerSpeed)
	return func(_ *ecs.Tick, walkers *ecs.Query[walker], fallen *ecs.Query[corpse]) {
		for p := range walkers.Each {
			if p.Intent.Given {
				p.Facing.Aim = p.Intent.Aim
			}
			p.Vel.X, p.Vel.Y = stride(float64(p.Intent.MoveX), float64(p.Intent.MoveY), full)
		}
		for c := range fallen.Each {
			*c.Vel = motion.Velocity{}
		}
	}
}

type corpse struct {
	Vel *motion.Velocity
	_   ecs.With[respawn.Down]
}

// stride returns the velocity of a walk given in per cent; a diagonal walk is no faster than one along an axis.
func stride(x, y, full float64) (vx, vy float64) {
	long := detmath.Sqrt(float64(x*x) + float64(y*y))
	scale := full / max(long, 100)
	return float64(x * scale), float64(y * scale)
}
