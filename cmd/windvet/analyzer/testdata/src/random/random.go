package random

import (
	crand "crypto/rand"
	"hash/maphash"
	old "math/rand"
	"math/rand/v2"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "roll", roll) }

func roll(t *ecs.Tick) {
	_ = rand.IntN(6)                               // want `rand.IntN is randomness that a replay cannot repeat: use Tick.Rand\(entity\)`
	_, _ = crand.Read(nil)                         // want `rand.Read is randomness`
	var h maphash.Hash                             // want `maphash.Hash is randomness`
	_ = h.Sum64()                                  // want `maphash.Hash.Sum64 is randomness`
	r := rand.New(rand.NewPCG(1, uint64(t.Now()))) // seeded: the same on every machine
	_ = r.IntN(6)
	var source rand.Source = rand.NewChaCha8([32]byte{1})
	_ = source.Uint64()
	_ = old.New(old.NewSource(1)).Intn(6)
	_ = old.Intn(6)                    // want `rand.Intn is randomness`
	rand.Shuffle(1, func(i, j int) {}) // want `rand.Shuffle is randomness`
}
