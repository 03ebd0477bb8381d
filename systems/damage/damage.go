// Package damage turns wounds into deaths: systems emit Damage, Apply subtracts it from the targets' Health and emits
// one Death for each entity it kills, and Bury despawns the dead.
package damage

import (
	"math"

	"github.com/ferris1/wind/ecs"
)

// Health is an entity's remaining points; at 0 the entity is dead. Healing stops at Max.
type Health struct{ Points, Max int32 }

// Full returns the health of an unharmed entity.
func Full(points int32) Health { return Health{Points: points, Max: points} }

// Damage is the event of a wound: Apply subtracts Points from the target's health. Negative points heal, at most to the
// target's maximum. Source may be zero.
type Damage struct {
	Target, Source ecs.Entity
	Points         int32
}

// Death is the event of a death, once per death. Killer is the source of the last wound and may be zero or dead itself.
type Death struct{ Victim, Killer ecs.Entity }

// Register registers Health ("health") and the events Damage ("damage") and Death ("death").
func Register(w *ecs.World) {
	ecs.Component[Health](w, "health", ecs.Replicated)
	ecs.Event[Damage](w, "damage")
	ecs.Event[Death](w, "death")
}

// Apply processes this tick's damage in the order it was emitted. It ignores targets without health or with none left,
// so an entity dies only once and healing does not raise the dead.
func Apply(_ *ecs.Tick, wounds *ecs.Events[Damage], health *ecs.Comp[Health], deaths *ecs.Events[Death]) {
	for _, d := range wounds.All() {
		h := health.Get(d.Target)
		if h == nil || h.Points <= 0 {
			continue
		}
		left := min(int64(h.Points)-int64(d.Points), int64(h.Max), math.MaxInt32)
		if left > 0 {
			h.Points = int32(left)
			continue
		}
		h.Points = 0
		deaths.Emit(Death{Victim: d.Target, Killer: d.Source})
	}
}

// Bury despawns this tick's dead, except those with a Keep component:
//
//	ecs.System(w, "bury", damage.Bury[respawn.Respawn])
func Bury[Keep any](t *ecs.Tick, deaths *ecs.Events[Death], keep *ecs.Comp[Keep]) {
	for _, d := range deaths.All() {
		if !keep.Has(d.Victim) {
			t.Despawn(d.Victim)
		}
	}
}
