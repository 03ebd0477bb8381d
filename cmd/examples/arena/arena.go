// Package arena is a small combat game and the example of how to write a game on Wind: players walk, aim and shoot,
// monsters chase the nearest player and bite, dead players respawn, and kills score.
//
// Read it in this order:
//
//	arena.go    the Game: options, components, commands, and the schedule of a tick
//	player.go   joining, leaving, walking
//	weapon.go   choosing a weapon and shooting
//	monster.go  spawning, chasing, biting
//	score.go    who killed whom
//	pace.go     other tick rates
//	match.go    the end of an arena that is a room, and its result
//	bot.go      a program that plays (it runs in a client, outside the simulation)
//
// A client sends two commands. All fields are packed in this order, without padding, as the schema in Welcome says:
//
//	arena.input (sampled, 5 bytes)   MoveX i8, MoveY i8, Aim u16, Fire bool
//	arena.choose (reliable, 1 byte)  Weapon u8: 0 rifle, 1 shotgun, 2 cannon
//
// MoveX and MoveY are per cent of the full speed of 7.5 m/s, -100 to 100; a vector longer than 100 is shortened to 100. Aim
// is a direction in 65,536 steps per turn, counter-clockwise from the positive x axis. An input outside these ranges is
// ignored, and the client is not told. A weapon that does not exist is rejected, and so is a choice while dead or without
// a player. Join makes a player, and says with Control that it belongs to the session.
//
// Distances are metres, from the arena's centre; speeds are metres per tick; times are ticks of 1/30 s. At another
// tick rate, pace.go converts both.
package arena

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/lifetime"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
	"github.com/ferris1/wind/systems/respawn"
)

// TickRate is the arena's ticks per second, unless an option sets others. The constants of this package are for this rate.
const TickRate = 30

// Game is the arena. Shards run it, and replays need it.
var Game = ecs.Game{
	Name:     "arena",
	TickRate: TickRate,
	Rate:     func(options any) int { return int(options.(Options).TickRate) },
	Options:  Options{Monsters: 200, Size: 200, Respawn: 3, TickRate: TickRate},
	Setup:    setup,
}

// Options configure a new arena. The flags --monsters, --size, --respawn, --tick-rate and --match set them.
type Options struct {
	Monsters int32   `usage:"monsters that the arena keeps alive" min:"0" max:"100000"`
	Size     float64 `usage:"length of the square arena's sides, in metres" min:"20" max:"20000"`
	Respawn  float64 `usage:"seconds until a dead player respawns" min:"0" max:"600"`
	TickRate int32   `usage:"ticks per second" min:"10" max:"128" later:"true"`
	Match    float64 `usage:"seconds from the first player's joining to the end of the match; 0: it never ends" min:"0" max:"86400" later:"true"`
}

// setup registers everything. It runs once per world, so each world has its own closures, with their grids and options.
func setup(w *ecs.World) {
	o := ecs.OptionsOf[Options](w)
	half := float64(o.Size / 2)
	speed := paceOf(w)
	area := grid.Area{MinX: -half, MinY: -half, MaxX: half, MaxY: half}

	motion.Register(w)
	damage.Register(w)
	projectile.Register(w)
	lifetime.Register(w)
	respawn.Register(w)
	ecs.Component[Player](w, "player", ecs.Replicated)
	ecs.Component[Facing](w, "facing", ecs.Replicated)
	ecs.Component[Gun](w, "gun", ecs.Replicated)
	ecs.Component[Intent](w, "intent", ecs.Transient)
	ecs.Component[Monster](w, "monster", ecs.Replicated)
	ecs.Resource[Score](w, "score", ecs.Replicated)

	ecs.Handle[ecs.Join](w, "wind.join", join(o))
	ecs.Handle[ecs.Leave](w, "wind.leave", leave)
	ecs.Handle[Input](w, "arena.input", input, ecs.Sampled)
	ecs.Handle[Choose](w, "arena.choose", choose)

	ecs.Init(w, func(_ *ecs.Tick, bounds *ecs.Res[motion.Bounds]) { *bounds.Get() = motion.Bounds(area) })

	// The schedule of a tick: think, move, fight, bury, respawn.
	ecs.System(w, "restock", restock(o))
	ecs.System(w, "walk", walk(speed))
	ecs.System(w, "chase", chase(area, speed))
	ecs.System(w, "shoot", shoot(speed))
	ecs.System(w, "move", motion.Move)
	ecs.System(w, "clamp", motion.Clamp)
	ecs.System(w, "fly", projectile.Fly[respawn.Down](projectile.Options{Area: area}))
	ecs.System(w, "wound", projectile.Wound)
	ecs.System(w, "damage", damage.Apply)
	ecs.System(w, "score", count)
	ecs.System(w, "fall", respawn.Fall)
	ecs.System(w, "bury", damage.Bury[respawn.Respawn])
	ecs.System(w, "rise", respawn.Rise(anywhere(o)))
	ecs.System(w, "expire", lifetime.Expire)
	ecs.System(w, "cull-shots", motion.Cull[projectile.Shot])
	if o.Match > 0 {
		registerMatch(w, o)
	}
	ecs.Predict(w, "arena.input", "walk", "move", "clamp") // a client knows where its own player walks
}

// anywhere returns a function that picks a random place in the arena, at least half a metre from its walls.
func anywhere(o Options) respawn.Place {
	far := float64(o.Size/2) - 0.5
	return func(t *ecs.Tick, e ecs.Entity) (x, y float64) {
		r := t.Rand(e)
		return r.Range(-far, far), r.Range(-far, far)
	}
}
