package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// watching is one entity over many ticks: a line for each tick at which it is not as it was at the tick before.
type watching struct {
	entity ecs.Entity
	from   uint64
	out    io.Writer // nil: lines are kept
	last   string
	seen   []watchedTick
}

// watchedTick is what `replay --watch --json` lists.
type watchedTick struct {
	Tick  uint64 `json:"tick"`
	Value string `json:"value"` // as --dump prints it; "" when there is no such entity
}

// each looks at the world after a tick.
func (w *watching) each(world *ecs.World) error {
	now, _ := entityLine(world, w.entity)
	if world.Tick() < w.from || now == w.last {
		return nil
	}
	w.last = now
	if w.out == nil {
		w.seen = append(w.seen, watchedTick{world.Tick(), now})
		return nil
	}
	if now == "" {
		now = "is gone"
	}
	_, err := fmt.Fprintf(w.out, "tick %d  %s %s\n", world.Tick(), w.entity, now)
	return err
}

// parseEntity reads an entity as --dump and log tail name it: 12, or 12.3 where slot 12 is used for the fourth time.
func parseEntity(text string) (ecs.Entity, error) {
	slot, uses, given := strings.Cut(text, ".")
	id, err := strconv.ParseUint(slot, 10, 32)
	gen := uint64(0)
	if err == nil && given {
		gen, err = strconv.ParseUint(uses, 10, 32)
	}
	if err != nil || id == 0 {
		return ecs.Entity{}, usagef("--entity %q is not an entity: write it as --dump names it, 12 or 12.3", text)
	}
	return ecs.EntityFrom(uint32(id), uint32(gen)), nil
}
