package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// watching follows one entity over many ticks: a line for each tick that changes it.
type watching struct {
	entity ecs.Entity
	from   uint64
	out    io.Writer // nil: collect in seen
	begun  bool
	last   string
	lived  bool   // in any of the ticks
	other  string // hints at another entity of the same slot
	seen   []watchedTick
}

// watchedTick is one tick in the list of `replay --watch --json`.
type watchedTick struct {
	Tick  uint64 `json:"tick"`
	Value string `json:"value"` // as --dump prints it; "" if the entity does not exist
}

// each compares the entity in the world after a tick with the tick before.
func (w *watching) each(world *ecs.World) error {
	if !w.begun && w.from > 0 && world.Tick() > w.from {
		return fmt.Errorf("%w: tick %d: the first one is %d; begin there with --from", persistence.ErrNotFound, w.from, world.Tick())
	}
	w.begun = true
	now, lives := entityLine(world, w.entity)
	if !lives && w.other == "" {
		w.other = otherUse(world, w.entity)
	}
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

// beyond returns an error if the replay ended, at tick last, before the watch began.
func (w *watching) beyond(last uint64) error {
	if w.from <= last {
		return nil
	}
	return fmt.Errorf("%w: tick %d: the last one is %d; begin at or before it with --from", persistence.ErrNotFound, w.from, last)
}

// found returns an error if the entity lived in no tick of the replay r.
func (w *watching) found(r replayResult) error {
	switch {
	case w.lived:
		return nil
	case r.Ticks == 0:
		return fmt.Errorf("replay: there is nothing to watch: the snapshot is of tick %d, and --to ends there", r.To)
	}
	return fmt.Errorf("replay: there is no entity %s in ticks %d to %d%s", w.entity, max(w.from, r.From), r.To, w.other)
}

// otherUse names the entity that now uses the slot of a dead one; "" without one.
func otherUse(w *ecs.World, e ecs.Entity) string {
	for _, t := range w.Tables() {
		for _, other := range t.Entities() {
			if other.ID() == e.ID() && other != e {
				return fmt.Sprintf(": its slot is used by %s now", other)
			}
		}
	}
	return ""
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
