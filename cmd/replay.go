package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// replayResult is the result of `replay --json`.
type replayResult struct {
	Game           string   `json:"game"`
	Ticks          uint64   `json:"ticks"`
	From           uint64   `json:"from"`
	To             uint64   `json:"to"`
	Records        int      `json:"records"`
	LastSeq        uint64   `json:"last_seq"`
	Epoch          uint64   `json:"epoch"`
	Checksum       string   `json:"checksum"`
	Entities       int      `json:"entities"`
	Source         string   `json:"source"`
	Snapshot       string   `json:"snapshot,omitempty"`
	Diverged       bool     `json:"diverged"`
	FirstDivergent uint64   `json:"first_divergent,omitempty"`
	Differences    []string `json:"differences,omitempty"` // at that tick, recorded and computed
	Notes          []string `json:"notes,omitempty"`
	TicksPerSecond float64  `json:"ticks_per_s"`
	RealTime       float64  `json:"times_real_time"`
	Error          string   `json:"error,omitempty"`

	Watched []watchedTick `json:"watched,omitempty"` // with --watch: the ticks at which the entity changed
}

func (a *app) replay() *cobra.Command {
	src, o := &sourceFlags{}, persistence.ReplayOptions{Now: time.Now}
	var fromSnapshot bool
	v := &replayView{}
	c := &cobra.Command{
		Use:   "replay",
		Short: "Rebuild a shard's ticks from its log",
		Long: `Re-simulates every committed tick from the log alone. It reads the records in order and proves their chain and their
checksums. It names the first tick whose world differs, with the differing values as recorded in the tick's delta and as
computed; --dump then prints the recorded world of that tick. With --from-deltas it does not simulate: it applies the state
deltas, from a snapshot with --from-snapshot, and they must lead to the same checksums.

--dump prints the world at the last tick, or one entity of it with --entity. First come the resources, name{field:value …}, then
one line for each entity: its slot, then .GENERATION if the slot was used before, then its components, name{field:value …}. An
entity in a field is written the same way, and 0 means none. Transient components are zero at a snapshot and with --from-deltas. --watch prints one entity's values at each tick
that changes them, starting at --from.

It opens a copy and does not touch the data directory. Exits with 3 if the log is damaged, diverges, or is shorter than it is
known to have been. Exits with 1 if another game, or a build with other components, recorded it, and names the differences.`,
		Example: "  wind replay --data ./wind-data --verify --json\n  wind replay --to 1000 --dump\n  wind replay --to 1000 --dump --entity 12\n  wind replay --entity 12 --watch --from 900 --to 1000\n  wind replay --from-deltas --from-snapshot",
	}
	src.add(c.Flags())
	c.Flags().Uint64Var(&o.To, "to", 0, "stop after this tick (0: the last one)")
	c.Flags().BoolVar(&o.Verify, "verify", false, "also prove the full checksum, and that the log's end was not cut off")
	c.Flags().BoolVar(&o.FromDeltas, "from-deltas", false, "apply state deltas instead of simulating")
	c.Flags().BoolVar(&fromSnapshot, "from-snapshot", false, "start from the newest snapshot at or before --to instead of genesis")
	c.Flags().StringVar(&v.entity, "entity", "", "one entity to print, as --dump names it")
	c.Flags().BoolVar(&v.watch, "watch", false, "print --entity at each tick that changes it")
	c.Flags().Uint64Var(&v.from, "from", 0, "with --watch: print nothing before this tick")
	c.Flags().BoolVar(&v.dump, "dump", false, "print the entities at the last tick, one line each, in the order of their tables; at a diverged tick, as recorded")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		watched, err := v.check(a, o.To)
		if err != nil {
			return err
		}
		if v.watch {
			o.Each = watched.each
		}
		return src.read(ctx, a, func(s persistence.Source) (err error) {
			if fromSnapshot {
				if o.Snapshot, err = newestSnapshot(ctx, s, o.To); err != nil {
					return err
				}
			}
			p := persistence.NewReplay(a.game, s, o)
			r, err := p.Run(ctx)
			if err == nil && v.watch {
				err = watched.beyond(r.To)
			}
			out := a.replayed(r, o, p.World(), err)
			out.Watched = watched.seen
			if errors.Is(err, persistence.ErrNotFound) && !a.json {
				return err // lines would look like a result
			}
			if printErr := a.print(out, replayLines(out)...); printErr != nil {
				return printErr
			}
			if v.watch && err == nil {
				err = watched.found(out)
			}
			return errors.Join(err, a.dump(v.dump, watched.entity, p, err))
		})
	})
	return c
}

// replayView selects the parts of the world that a replay prints.
type replayView struct {
	dump, watch bool
	entity      string
	from        uint64
}

// check refuses flags that exclude each other, and returns the entity to watch.
func (v *replayView) check(a *app, to uint64) (*watching, error) {
	w := &watching{from: v.from}
	if !a.json {
		w.out = a.stdout
	}
	switch {
	case v.dump && a.json:
		return nil, usagef("--dump prints lines and --json one object: give only one of them")
	case v.dump && v.watch:
		return nil, usagef("--dump prints the last tick and --watch every tick: give only one of them")
	case v.watch && v.entity == "":
		return nil, usagef("--watch needs --entity: name the entity")
	case v.entity != "" && !v.watch && !v.dump:
		return nil, usagef("--entity needs --dump for the last tick, or --watch for every tick")
	case v.from > 0 && !v.watch:
		return nil, usagef("--from needs --watch")
	case to > 0 && v.from > to:
		return nil, usagef("--from %d is after --to %d", v.from, to)
	}
	var err error
	if v.entity != "" {
		w.entity, err = parseEntity(v.entity)
	}
	return w, err
}

// dump prints the last tick's world, or one entity of it. For a diverged tick it prints the recorded world, if its delta is
// stored.
func (a *app) dump(asked bool, entity ecs.Entity, p *persistence.Replay, err error) error {
	w := p.World()
	if errors.Is(err, persistence.ErrDiverged) {
		w = p.Recorded()
	}
	if !asked || w == nil || err != nil && !errors.Is(err, persistence.ErrDiverged) {
		return nil
	}
	if entity.IsZero() {
		return dumpWorld(a.stdout, w)
	}
	values, ok := entityLine(w, entity)
	if !ok {
		return fmt.Errorf("replay: there is no entity %s at tick %d%s", entity, w.Tick(), otherUse(w, entity))
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s\n", entity, values)
	return err
}

// replayed returns the result of a replay that ended with err in the world w, which may be nil.
func (a *app) replayed(r persistence.ReplayResult, o persistence.ReplayOptions, w *ecs.World, err error) replayResult {
	out := replayResult{
		Game: a.game.Name, Ticks: r.Ticks, From: r.From, To: r.To, Records: r.Records, LastSeq: uint64(r.Seq),
		Epoch: uint64(r.Epoch), Checksum: fmt.Sprintf("%016x", r.Checksum), Source: "log", Snapshot: r.Snapshot, Diverged: r.Diverged,
		FirstDivergent: r.FirstDivergent, Differences: r.Differences, Notes: r.Notes, TicksPerSecond: r.TicksPerSecond(),
		RealTime: r.TicksPerSecond() / float64(a.game.TickRate),
	}
	if o.FromDeltas {
		out.Source = "deltas"
	}
	if w != nil {
		out.Entities, out.RealTime = w.Len(), r.TicksPerSecond()/float64(w.Game().TickRate)
	}
	if r.Diverged {
		out.Notes = append(slices.Clone(out.Notes), "this is build "+node.ThisBuild(a.game).ID)
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func replayLines(r replayResult) []string {
	lines := []string{"nothing was replayed"}
	switch {
	case r.Ticks > 0:
		lines[0] = fmt.Sprintf("replayed %s (%d to %d) from the %s at %.0f ticks per second, %.0f times real time", plural(r.Ticks, "tick"), r.From, r.To, r.Source, r.TicksPerSecond, r.RealTime)
	case r.Snapshot != "" && r.To > 0:
		lines[0] = fmt.Sprintf("no tick was replayed: snapshot %s is of tick %d", r.Snapshot, r.To)
	}
	if r.To > 0 {
		lines = append(lines, fmt.Sprintf("tick %d: checksum %s, %s, epoch %d", r.To, r.Checksum, plural(r.Entities, "entity"), r.Epoch))
	}
	if r.Diverged {
		lines = append(lines, fmt.Sprintf("DIVERGED at tick %d", r.FirstDivergent))
		for _, d := range r.Differences {
			lines = append(lines, "  "+d)
		}
	}
	return append(lines, r.Notes...)
}

// newestSnapshot returns the newest snapshot whose tick is at most to (0: any). It skips damaged ones, and returns their
// errors only if no other snapshot will do.
func newestSnapshot(ctx context.Context, s persistence.Source, to uint64) (*persistence.Snapshot, error) {
	var all []persistence.SnapshotInfo
	if s.Snapshots != nil { // an export may have none
		var err error
		if all, err = s.Snapshots.List(ctx); err != nil {
			return nil, err
		}
	}
	var damaged error
	for _, info := range all {
		snap, err := s.Snapshots.Get(ctx, info)
		if errors.Is(err, persistence.ErrNotFound) {
			continue
		}
		if errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrVersion) {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if to == 0 || snap.Tick <= to {
			return &snap, nil
		}
	}
	if damaged != nil {
		return nil, damaged
	}
	if to == 0 {
		return nil, errors.New("there is no snapshot yet: omit --from-snapshot to start at genesis")
	}
	return nil, fmt.Errorf("there is no snapshot at or before tick %d: omit --from-snapshot to start at genesis", to)
}
