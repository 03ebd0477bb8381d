package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// The targets of Tick, as ratios to arche's faster loop.
const (
	TargetPerEntity  = 1.05
	TargetWithEntity = 1.25
	TargetColumns    = 0.5
	TargetTick       = 3.0
)

// TickOptions configures Tick. The zero value means 100,000 entities, 300 rounds, seed 0.
type TickOptions struct {
	Entities int    // in each world, 1 to 10 million
	Ticks    int    // rounds; every loop runs once in each
	Seed     uint64 // of the worlds

	Progress func(done, total int) // in rounds; may be nil
}

// TickResult is the result of Tick. All loops move every entity: two components of two float64.
type TickResult struct {
	Entities      int        `json:"entities"`
	Ticks         int        `json:"ticks"`
	Seed          uint64     `json:"seed"`
	Base          string     `json:"base"` // arche's faster loop, to which the ratios refer
	Loops         []LoopTime `json:"loops"`
	AllocsPerTick uint64     `json:"allocs_per_tick"` // rounded down, as testing.AllocsPerRun does
	DeltaBytes    float64    `json:"delta_bytes_per_entity"`
	Checksum      string     `json:"checksum"` // of the world after its last tick: the same for the same options
	Pass          bool       `json:"pass"`
	Failed        []string   `json:"failed"` // names of the missed targets
}

// LoopTime reports how long one loop took.
type LoopTime struct {
	Name        string  `json:"name"`
	MinNs       float64 `json:"ns_per_entity_min"`
	MedianNs    float64 `json:"ns_per_entity_median"`
	Ratio       float64 `json:"ratio"`            // of the fastest rounds, to the base; judged
	MedianRatio float64 `json:"ratio_median"`     // median of the rounds' ratios to the base
	TargetRatio float64 `json:"target,omitempty"` // 0: not judged
	Pass        bool    `json:"pass"`
}

// Loop returns the loop with this name.
func (r *TickResult) Loop(name string) (LoopTime, bool) {
	for _, l := range r.Loops {
		if l.Name == name {
			return l, true
		}
	}
	return LoopTime{}, false
}

// Tick runs the loops and ticks alternately and compares them with arche's loop. It keeps one core busy throughout.
// When ctx ends it stops early with ctx's error.
func Tick(ctx context.Context, o TickOptions) (TickResult, error) {
	if o.Entities == 0 {
		o.Entities = 100_000
	}
	if o.Ticks == 0 {
		o.Ticks = 300
	}
	if o.Entities < 1 || o.Entities > 10_000_000 || o.Ticks < 1 {
		return TickResult{}, fmt.Errorf("bench: %d entities and %d ticks: want 1 to 10000000, and at least 1", o.Entities, o.Ticks)
	}
	b, err := newTickBench(o)
	if err != nil {
		return TickResult{}, err
	}
	lineage := newLineage()
	s, err := openStore(ctx, "", false, lineage)
	if err != nil {
		return TickResult{}, err
	}
	defer s.close()
	if err := b.withLog(ctx, s.shard.Log(), lineage); err != nil {
		return TickResult{}, err
	}
	runtime.GC()
	for i := range o.Ticks {
		b.round()
		if o.Progress != nil {
			o.Progress(i+1, o.Ticks)
		}
		if err := first(b.failed, ctx.Err()); err != nil {
			return TickResult{}, err
		}
	}
	return b.result(), nil
}

// tickBench has one world per loop, so that no loop finds another's data in the cache.
type tickBench struct {
	o       TickOptions
	loops   []*loop
	base    []*samples // arche's loops
	ticking *ecs.World
	delta   []byte
	failed  error  // the first error of a commit
	ids     uint32 // keeps the compiler from dropping a loop's result
}

// loop is a measurement that runs once per round.
type loop struct {
	*samples
	run    func(*samples)
	target float64
}

func newTickBench(o TickOptions) (*tickBench, error) {
	b := &tickBench{o: o}
	soa, a := newColumns(o.Entities), newArcheWorld(o.Entities)
	b.add("soa", 0, timed(soa.move))
	b.add("arche by id", 0, timed(a.moveByID))
	b.add("arche generic", 0, timed(a.moveGeneric))
	b.base = []*samples{b.loops[1].samples, b.loops[2].samples}

	var failed error
	world := func(system any) *ecs.World {
		w, err := newWorld(game(o.Entities, system), o.Seed)
		if err != nil && failed == nil {
			failed = err
		}
		return w
	}
	// A single loop is timed inside its system; the rest of the tick does not count.
	inside := func(name string, target float64, system func(measure func(func())) any) {
		var s *samples
		measure := func(f func()) {
			f() // see timed
			if s != nil {
				s.time(f)
			}
		}
		w := world(system(measure))
		b.add(name, target, func(to *samples) { s = to; step(w) })
	}
	inside("per entity", TargetPerEntity, func(measure func(func())) any {
		return func(_ *ecs.Tick, q *ecs.Query[row]) { measure(func() { moveRows(q) }) }
	})
	inside("with entity", TargetWithEntity, func(measure func(func())) any {
		return func(_ *ecs.Tick, q *ecs.Query[namedRow]) { measure(func() { b.ids += moveNamedRows(q) }) }
	})
	inside("columns", TargetColumns, func(measure func(func())) any {
		return func(_ *ecs.Tick, q *ecs.Query[run]) { measure(func() { moveRuns(q) }) }
	})

	// Whole ticks: systems, change detection, checksum, and the delta's bytes.
	tick := func(name string, target float64, w *ecs.World) {
		b.add(name, target, timed(func() { b.delta = step(w).Delta.AppendTo(b.delta[:0]) }))
	}
	b.ticking = world(func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
	tick("tick", TargetTick, b.ticking)
	tick("tick, velocity read only", 0, world(func(_ *ecs.Tick, q *ecs.Query[readRun]) { moveReadRuns(q) }))
	tick("tick, per entity", 0, world(func(_ *ecs.Tick, q *ecs.Query[row]) { moveRows(q) }))
	bare := world(func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
	b.add("tick without the delta's bytes", 0, timed(func() { step(bare) }))
	return b, failed
}

// withLog adds a whole tick with its commit to a log, as a shard runs it before a release. It has no target: bench log
// judges commits.
func (b *tickBench) withLog(ctx context.Context, log appender, lineage string) error {
	g := game(b.o.Entities, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
	world, err := ecs.New(g, ecs.Config{Seed: b.o.Seed})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	w, err := newWriter(ctx, log, lineage, g, b.o.Seed)
	if err != nil {
		return err
	}
	var frame []byte
	b.add("tick with log", 0, timed(func() {
		f := ecs.Frame{Tick: world.Tick() + 1}
		frame = world.AppendFrame(frame[:0], f)
		out := world.Step(f)
		b.delta = out.Delta.AppendTo(b.delta[:0])
		b.failed = first(b.failed, w.commit(ctx, persistence.NewTickRecord(frame, out)))
	}))
	return nil
}

// timed runs f twice and counts the second run: by then f's data is back in the cache, from which other worlds had
// evicted it.
func timed(f func()) func(*samples) {
	return func(s *samples) {
		f()
		s.time(f)
	}
}

func (b *tickBench) add(name string, target float64, run func(*samples)) {
	b.loops = append(b.loops, &loop{samples: newSamples(name, b.o.Ticks), run: run, target: target})
}

// round takes one sample of every loop.
func (b *tickBench) round() {
	for _, l := range b.loops {
		l.run(l.samples)
	}
}

func (b *tickBench) result() TickResult {
	n := b.o.Entities
	base := b.base[0]
	if b.base[1].min(n) < base.min(n) {
		base = b.base[1]
	}
	r := TickResult{
		Entities: n, Ticks: b.o.Ticks, Seed: b.o.Seed, Base: base.name,
		AllocsPerTick: allocations(100, func() { b.delta = step(b.ticking).Delta.AppendTo(b.delta[:0]) }),
		DeltaBytes:    float64(len(b.delta)) / float64(n),
		Checksum:      fmt.Sprintf("%016x", b.ticking.Checksum()),
		Failed:        []string{},
	}
	for _, l := range b.loops {
		t := LoopTime{
			Name: l.name, MinNs: round2(l.min(n)), MedianNs: round2(l.median(n)), Ratio: round2(l.min(n) / base.min(n)),
			MedianRatio: round2(l.ratio(base)), TargetRatio: l.target, Pass: true,
		}
		if l.target > 0 && t.Ratio > l.target {
			t.Pass = false
			r.Failed = append(r.Failed, l.name)
		}
		r.Loops = append(r.Loops, t)
	}
	if r.AllocsPerTick > 0 {
		r.Failed = append(r.Failed, "allocations")
	}
	r.Pass = len(r.Failed) == 0
	return r
}

// allocations returns f's allocations per run, rounded down so that the runtime's occasional ones do not count.
func allocations(runs int, f func()) uint64 {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(runs)
}

// ns returns d per entity in nanoseconds.
func ns(d time.Duration, entities int) float64 { return float64(d.Nanoseconds()) / float64(entities) }
