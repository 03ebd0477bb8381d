package arena

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
)

// chooseSeconds is how long a bot keeps its weapon.
const chooseSeconds = 20

// bot plays for a client with a Brain: it fights what the client sees, and changes its weapon now and then.
type bot struct {
	brain   *Brain
	enemies []Enemy
	actions []client.Action
	next    uint64 // the tick in which it chooses a weapon
}

// NewBot returns a program that plays. Bots with different seeds behave differently.
func NewBot(seed uint64) client.Bot { return &bot{brain: NewBrain(seed)} }

// Play implements client.Bot.
func (b *bot) Play(v *client.View, tick uint64) []client.Action {
	self := v.Self()
	me, ok := client.Get[motion.Position](v, self, "position")
	if !ok {
		return nil // not in the arena yet
	}
	b.look(v, self)
	b.actions = append(b.actions[:0], client.Do("arena.input", b.brain.Next(me.X, me.Y, b.enemies)))
	if tick >= b.next && standing(v, self) {
		b.next = tick + chooseSeconds*uint64(v.Rate())
		b.actions = append(b.actions, client.Do("arena.choose", Choose{Weapon: Weapon(b.brain.rand() % uint64(weapons))}))
	}
	return b.actions
}

// look lists everyone in sight who can be shot.
func (b *bot) look(v *client.View, self ecs.Entity) {
	b.enemies = b.enemies[:0]
	for e := range v.Each {
		if e == self || !standing(v, e) {
			continue
		}
		if p, ok := client.Get[motion.Position](v, e, "position"); ok {
			b.enemies = append(b.enemies, Enemy{X: p.X, Y: p.Y})
		}
	}
}

func standing(v *client.View, e ecs.Entity) bool {
	h, ok := client.Get[damage.Health](v, e, "health")
	return ok && h.Points > 0
}
