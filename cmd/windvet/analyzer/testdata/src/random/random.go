package random

import (
	crand "crypto/rand"
	"hash/maphash"
	"math/rand/v2"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "roll", roll) }

func roll(t *ecs.Tick) {
	_ = rand.IntN(6)       // want `rand.IntN is randomness that a replay does not have: use Tick.Rand\(entity\)`
	_, _ = crand.Read(nil) // want `rand.Read is randomness`
	var h maphash.Hash     // want `maphash.Hash is randomness`
	_ = h.Sum64()          // want `maphash.Sum64 is randomness`
}
