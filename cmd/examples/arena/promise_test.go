package arena

import (
	"testing"

	"github.com/ferris1/wind/ecs/ecstest"
)

// Wind's promises for every game: replay, restore, deltas, checksums, no panic, no allocation. The arena is small, so
// that random players meet monsters and each other.
func TestTheArenaKeepsWindsPromises(t *testing.T) {
	ecstest.Run(t, Game, ecstest.Config{Options: Options{Monsters: 60, Size: 40, Respawn: 0.5, TickRate: TickRate}})
}
