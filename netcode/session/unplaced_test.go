package session

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// TestAnEntityWithoutAPlaceIsToldOnce, and again only after all had one: a warning in every tick would hide the others.
func TestAnEntityWithoutAPlaceIsToldOnce(t *testing.T) {
	var log strings.Builder
	var s Sessions
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for tick, count := range []int{0, 2, 2, 1, 0, 0, 1, 1} {
		s.tellUnplaced(logger, replication.Unplaced{Count: count, First: ecs.EntityFrom(7, 1), Component: "position"}, uint64(tick))
	}
	if said := log.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "entity="+ecs.EntityFrom(7, 1).String()) || !strings.Contains(said, "component=position entities=2 tick=1") || !strings.Contains(said, "tick=6") {
		t.Errorf("the log says:\n%s", said)
	}
}
