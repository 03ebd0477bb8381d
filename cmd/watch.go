package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// watching follows one entity over many ticks: a line for each tick that changes it.
type watching struct {
	entity ecs.Entity
	from   uint64
	out    io.Writer // nil: collect in seen
	last   string
	lived  bool // in any of the ticks
	seen   []watchedTick
}

// watchedTick is one tick in the list of `replay --watch --json`.
type watchedTick struct {
	Tick  uint64 `json:"tick"`
	Value string `json:"value"` // as --dump prints it; "" if the entity does not exist
}

// each compares the entity in the world after a tick with the tick before.
func (w *watching) each(world *ecs.World) error {
	now, _ := entityLine(world, w.entity)
	if world.Tick() < w.from || now == w.last {
		return nil
	}
	w.last, w.lived = now, w.lived || now != ""
	if w.out == nil {
		w.seen = append(w.seen, watchedTick{world.Tick(), now})
		return nil
	}
	if now == "" {
		now = "does not exist"
	}
	_, err := fmt.Fprintf(w.out, "tick %d  %s %s\n", world.Tick(), w.entity, now)
	return err
}

// parseEntity parses an entity as --dump and log tail print it: 12, or 12.3 for the fourth use of slot 12.
func parseEntity(text string) (ecs.Entity, error) {
	slot, uses, given := strings.Cut(text, ".")
	id, err := strconv.ParseUint(slot, 10, 32)
	gen := uint64(0)
	if err == nil && given {
		gen, err = strconv.ParseUint(uses, 10, 32)
	}
	if err != nil || id == 0 {
		return ecs.Entity{}, usagef("--entity %q is not an entity: write it as --dump prints it, 12 or 12.3", text)
	}
	return ecs.EntityFrom(uint32(id), uint32(gen)), nil
}
