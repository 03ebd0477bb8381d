package persistence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ferris1/wind/ecs"
)

// Source is what a replay, a check or an export reads: a shard's log, and its
// deltas and snapshots if it has any.
type Source struct {
	Log       LogReader
	Deltas    DeltaReader    // nil for a log without deltas
	Snapshots SnapshotReader // nil for a log without snapshots
	Lineage   string         // the lineage that the log must have; "" accepts any
	Info      FileInfo       // what genesis says, for a part of a log without genesis; the zero value if unknown
	Accepted  []Mark         // losses of history that an operator accepted, oldest first

	// Follow reads the log from a sequence on and waits for new messages; nil if the log does not grow.
	Follow          func(ctx context.Context, from Seq) iter.Seq2[Message, error]
	MessageOverhead int // bytes that the store adds to each message besides headers and body: subject, framing, its own checksum

	Known []Finding // damage of the stored files that reading them does not show; Check reports it
}

// ReplayOptions say how to replay a log. The zero value re-simulates all of it
// from its genesis.
type ReplayOptions struct {
	To         uint64                   // stop after this tick; 0 means the last one
	Verify     bool                     // also compare the cached checksum with a full recomputation at the end, the deltas with the log, and the log's end with the evidence
	FromDeltas bool                     // apply the delta stream and simulate nothing
	Snapshot   *Snapshot                // start here, not at genesis
	Now        func() time.Time         // the caller's clock, for Elapsed; nil measures nothing
	Each       func(w *ecs.World) error // called with the world after every tick; may only read it; its error ends the replay
}

// ReplayResult says what a replay did, even if it ended with an error.
type ReplayResult struct {
	Ticks          uint64 // ticks replayed
	From           uint64 // the first of them; 0 if it replayed no tick
	To             uint64 // the last of them that agreed: the state's tick
	Records        int    // records proven
	Checksum       uint64 // of the world after To; computed, not recorded
	Epoch          Epoch  // at To
	Seq            Seq    // the last record read
	Snapshot       string // the snapshot it started from; "" for genesis
	Diverged       bool
	FirstDivergent uint64        // tick; 0 if none diverged
	DivergentSeq   Seq           // record of that tick
	Recorded       uint64        // checksum recorded at FirstDivergent
	Computed       uint64        // checksum computed at FirstDivergent
	Differences    []string      // some of the values that differ at FirstDivergent, recorded and computed; see Replay.Recorded
	Notes          []string      // what may explain a divergence (another schema, another build), and what was skipped
	Elapsed        time.Duration // by the caller's clock
}

// TicksPerSecond returns the speed, 0 if no time was measured.
func (r ReplayResult) TicksPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Ticks) / r.Elapsed.Seconds()
}

// Replay rebuilds a world from its stored history. Run may be called once. Not
// safe for concurrent use.
type Replay struct {
	game   ecs.Game
	src    Source
	o      ReplayOptions
	chain  *Chain
	world  *ecs.World
	result ReplayResult

	recorded *ecs.World // after the first diverged tick; nil if none diverged or its delta is not stored
	kept     *Snapshot  // an earlier world, to rebuild a diverged tick from
	fit      fit
	end      *SchemaError // how the game differs from the log's end; nil if it does not
	known    History      // evidence about the log, gathered before its end was read
	gathered error        // of gathering it
}

// NewReplay returns a replay of src by game.
func NewReplay(game ecs.Game, src Source, o ReplayOptions) *Replay {
	return &Replay{game: game, src: src, o: o}
}

// World returns the world as Run left it, nil if Run never created it.
func (p *Replay) World() *ecs.World { return p.world }

// Recorded returns the recorded world after the first diverged tick, where World returns the computed one. It returns nil
// if no tick diverged or the tick's delta is not stored.
func (p *Replay) Recorded() *ecs.World { return p.recorded }

// Run replays. Errors: *CorruptError (and what it wraps), *VersionError,
// *SchemaError and *ecs.GameError (see Foreign), *DivergedError, *LostError (only
// with Verify, after the whole replay), ErrGap if the delta stream lacks a tick,
// ErrNotFound if there is nothing to start from or no tick To, before or after what is stored, and the stores' own.
func (p *Replay) Run(ctx context.Context) (ReplayResult, error) {
	var began time.Time
	if p.o.Now != nil {
		began = p.o.Now()
	}
	err := p.run(ctx)
	if p.o.Now != nil {
		p.result.Elapsed = p.o.Now().Sub(began)
	}
	var d *DivergedError
	if errors.As(err, &d) {
		p.result.Diverged, p.result.FirstDivergent, p.result.DivergentSeq = true, d.Tick, d.Seq
		p.result.Recorded, p.result.Computed, p.result.Differences = d.Recorded, d.Computed, d.Values()
	}
	return p.result, err
}

func (p *Replay) run(ctx context.Context) error {
	p.known, p.gathered = p.src.history(ctx)
	last, err := p.src.Log.Last(ctx)
	if err != nil {
		return fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	if last == 0 {
		return p.lost(ctx, 0, fmt.Errorf("%w: the log is empty", ErrNotFound))
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	if m, err := p.src.Log.Get(ctx, last); err == nil && !p.o.Verify && p.o.To > m.Header.LastTick {
		return after(p.o.To, m.Header.LastTick) // before Each sees ticks
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if first := p.world.Tick(); p.o.To > 0 && p.o.To < first {
		p.world, p.result = nil, ReplayResult{Notes: p.result.Notes}
		return before(p.o.To, first)
	}
	if p.o.FromDeltas {
		err = p.applyDeltas(ctx, last)
	} else {
		err = p.simulate(ctx, last)
	}
	if err != nil {
		return err
	}
	if p.o.To > 0 && p.world.Tick() < p.o.To {
		err = after(p.o.To, p.world.Tick())
	}
	if !p.o.Verify {
		return err
	}
	if sum := p.world.Recompute(); sum != p.world.Checksum() {
		return &DivergedError{Seq: p.result.Seq, Tick: p.world.Tick(), Recorded: p.world.Checksum(), Computed: sum, Reason: "full recomputation of the checksum"}
	}
	return p.lost(ctx, last, err)
}

// look reads which game and which schema wrote the log's end, and notes what differs. It ignores damage there: the replay
// itself reports that.
func (p *Replay) look(ctx context.Context) error {
	r, err := ReadRecorded(ctx, p.src.Log, p.src.Snapshots)
	if err != nil {
		return ctx.Err()
	}
	if g := r.Game(); g != "" && g != p.game.Name {
		return otherGame(g, p.game.Name)
	}
	if p.end, err = r.Compare(p.game); err == nil && p.end != nil {
		p.note("%s", p.end.Differs())
	}
	return err
}

// enters takes the schema and build of the records from here on. It returns an error if this build cannot use them at all.
func (p *Replay) enters(schema []byte, by ecs.Build, epoch Epoch) error {
	p.fit.have = p.world.Schema()
	p.fit.enter(schema, by, epoch)
	if p.fit.differs == nil {
		return nil
	}
	if note := p.fit.differs.Differs(); !slices.Contains(p.result.Notes, note) {
		p.note("%s", note)
	}
	needed := ecs.BreaksState | ecs.BreaksTicks // if only ticks break, the replay may still meet none of those
	if p.o.FromDeltas {
		needed = ecs.BreaksDeltas
	}
	if p.fit.breaks(needed) {
		return p.fit.differs
	}
	return nil
}

// lost returns a *LostError if the log, which ends at last, was cut; else err.
func (p *Replay) lost(ctx context.Context, last Seq, err error) error {
	if p.gathered != nil {
		return p.gathered
	}
	lastTick := uint64(0)
	if last > 0 {
		m, got := p.src.Log.Get(ctx, last)
		if got != nil {
			return fmt.Errorf("persistence: cannot read the last record: %w", got)
		}
		r, bad := DecodeRecord(m.Body)
		if bad != nil {
			return at(bad, last, 0)
		}
		lastTick = r.LastTick()
	}
	if lost := p.known.Lost(last, lastTick, 0); lost != nil {
		return lost
	}
	return err
}

// start creates the world that the replay begins with.
func (p *Replay) start(ctx context.Context) error {
	first, err := p.src.Log.First(ctx)
	if err != nil {
		return fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	snap := p.o.Snapshot
	if snap == nil && (first > 1 || p.o.FromDeltas) {
		if snap, err = p.findSnapshot(ctx, first); err != nil {
			return err
		}
	}
	if snap != nil {
		return p.startSnapshot(ctx, snap)
	}
	return p.startGenesis(ctx)
}

func (p *Replay) startGenesis(ctx context.Context) error {
	p.chain = NewChain(p.src.Lineage)
	m, err := p.src.Log.Get(ctx, 1)
	if errors.Is(err, ErrNotFound) {
		return &CorruptError{What: "record", Seq: 1, Tick: 1, Rule: "I4", Reason: "genesis is missing", Err: err}
	}
	if err != nil {
		return fmt.Errorf("persistence: genesis: %w", err)
	}
	r, err := p.chain.Next(m)
	if err != nil {
		return err
	}
	g := r.Genesis
	if g.Game != p.game.Name {
		return otherGame(g.Game, p.game.Name)
	}
	if p.world, err = ecs.New(p.game, ecs.Config{Seed: g.Seed, Options: g.Options}); err != nil {
		return fmt.Errorf("persistence: cannot make the world of genesis: %w", err)
	}
	if rate := p.world.Game().TickRate; g.TickRate != rate {
		p.note("recorded at %d ticks per second, but this build has %d", g.TickRate, rate)
	}
	p.result.Records, p.result.Seq, p.result.Epoch = 1, 1, r.Epoch
	return p.enters(g.Schema, g.Build, r.Epoch)
}

func (p *Replay) startSnapshot(ctx context.Context, s *Snapshot) error {
	if p.src.Lineage != "" && s.Lineage != p.src.Lineage {
		return &CorruptError{What: "snapshot", Seq: s.Seq, Tick: s.Tick, Reason: fmt.Sprintf("its lineage is %s, not %s", s.Lineage, p.src.Lineage)}
	}
	m, err := p.src.Log.Get(ctx, s.Seq)
	if err == nil {
		r, decoded := DecodeRecord(m.Body)
		if decoded != nil {
			return at(decoded, s.Seq, s.Tick)
		}
		if err := s.Verify(r, m.Body); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("persistence: record of snapshot %s: %w", s.Name(), err)
	}
	if p.world, err = RestoreSnapshot(p.game, s); err != nil {
		return err
	}
	p.chain = ChainFrom(s)
	p.result.Snapshot, p.result.Seq, p.result.Epoch = s.Name(), s.Seq, s.Epoch
	p.result.To, p.result.Checksum = s.Tick, s.Checksum
	return p.enters(s.Schema, ecs.Build{}, s.Epoch)
}

// RestoreSnapshot restores the world in s, recomputes its full checksum and
// compares it. For a snapshot of another game or schema the error is Foreign.
func RestoreSnapshot(game ecs.Game, s *Snapshot) (*ecs.World, error) {
	w, err := ecs.Restore(game, s.Body)
	if err != nil {
		return nil, unrestored(game, s, err)
	}
	if w.Tick() != s.Tick || w.Checksum() != s.Checksum || w.Recompute() != s.Checksum {
		return nil, &CorruptError{
			What: "snapshot", Seq: s.Seq, Tick: s.Tick,
			Reason: fmt.Sprintf("it declares tick %d and checksum %016x, but contains tick %d and %016x (recomputed %016x)",
				s.Tick, s.Checksum, w.Tick(), w.Checksum(), w.Recompute()),
		}
	}
	return w, nil
}

// unrestored returns the error for a snapshot that cannot be restored: Foreign for another game or schema, the
// game's own if its Setup panics, else a *CorruptError.
func unrestored(game ecs.Game, s *Snapshot, err error) error {
	var other *ecs.GameError
	if errors.As(err, &other) {
		return otherGame(other.Got, other.Want)
	}
	if _, ok := errors.AsType[*ecs.SetupPanic](err); ok {
		return err // the game's fault, not the snapshot's
	}
	if _, c, bad := ecs.SnapshotConfig(s.Body); bad == nil {
		have, bad := ecs.SchemaOf(game, c)
		if bad == nil {
			if e := compareSchema(s.Schema, have, ecs.Build{}, s.Epoch); e.Breaks()&ecs.BreaksState != 0 {
				e.Err = err
				return e
			}
		}
	}
	return &CorruptError{What: "snapshot", Seq: s.Seq, Tick: s.Tick, Reason: err.Error(), Err: err}
}

// findSnapshot returns the oldest snapshot from which the stored history continues,
// nil if it continues from genesis.
func (p *Replay) findSnapshot(ctx context.Context, first Seq) (*Snapshot, error) {
	firstDelta := uint64(0)
	if p.o.FromDeltas {
		d, err := p.firstDelta(ctx)
		if err != nil {
			return nil, err
		}
		if firstDelta = d.FirstTick(); firstDelta == 1 && first == 1 {
			return nil, nil
		}
	}
	var all []SnapshotInfo
	if p.src.Snapshots != nil {
		var err error
		if all, _, err = p.src.snapshots(ctx); err != nil {
			return nil, err
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Seq+1 < first {
			continue
		}
		s, err := p.src.Snapshots.Get(ctx, all[i])
		if errors.Is(err, ErrCorrupt) && i > 0 { // a newer one skips more of the log but reaches the same end
			p.note("snapshot %s is not used: %v", all[i].Name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("persistence: snapshot %s: %w", all[i].Name, err)
		}
		if s.Tick+1 >= firstDelta {
			return &s, nil
		}
	}
	if firstDelta > 1 {
		return nil, fmt.Errorf("%w: the delta stream begins at tick %d and no snapshot leads to it", ErrNotFound, firstDelta)
	}
	return nil, fmt.Errorf("%w: the log begins at record %d and no snapshot leads to it", ErrNotFound, first)
}

func (p *Replay) firstDelta(ctx context.Context) (Delta, error) {
	if p.src.Deltas == nil {
		return Delta{}, fmt.Errorf("%w: there is no delta stream", ErrNotFound)
	}
	for d, err := range p.src.deltas(ctx, 1) {
		return d, err
	}
	return Delta{}, fmt.Errorf("%w: the delta stream is empty", ErrNotFound)
}

// simulate steps the world through the log.
func (p *Replay) simulate(ctx context.Context, last Seq) error {
	for r, err := range proven(p.src.Log.Read(ctx, p.chain.Seq()+1, last), p.chain) {
		if err != nil {
			return err
		}
		p.result.Records++
		p.result.Seq, p.result.Epoch = r.Seq, r.Epoch
		if r.Kind == KindEpoch {
			if err := p.enters(r.EpochStart.Schema, r.EpochStart.Build, r.Epoch); err != nil {
				return err
			}
		}
		if p.o.To > 0 && r.FirstTick() > p.o.To {
			return nil
		}
		err := Resimulate(p.world, r, p.o.To, func(*TickRecord, ecs.Output) error { return p.ticked() })
		if err != nil {
			return p.diverges(ctx, err)
		}
		p.keep(r)
		if p.o.To > 0 && p.world.Tick() >= p.o.To {
			return nil
		}
	}
	return nil
}

// diverges completes the error of a tick that diverged. If the schema differs and breaks ticks, that is the reason.
func (p *Replay) diverges(ctx context.Context, err error) error {
	var d *DivergedError
	if !errors.As(err, &d) {
		return err
	}
	if p.fit.breaks(ecs.BreaksTicks) {
		return p.fit.blame(err)
	}
	if b := p.fit.build; b.ID != "" {
		p.note("that tick was recorded by build %s (%s, %s/%s)", b.ID, b.GoVersion, b.GOOS, b.GOARCH)
	}
	if p.world.Tick() == d.Tick { // otherwise the tick could not be simulated at all
		if unknown := p.explain(ctx, d); unknown != nil {
			p.note("the differing values are unknown: %v", unknown)
		}
	}
	return err
}

// ticked counts a tick that agrees.
func (p *Replay) ticked() error {
	if p.result.Ticks++; p.result.Ticks == 1 {
		p.result.From = p.world.Tick()
	}
	p.result.To, p.result.Checksum = p.world.Tick(), p.world.Checksum()
	if p.o.Each != nil {
		return p.o.Each(p.world)
	}
	return nil
}

func (p *Replay) note(format string, args ...any) {
	p.result.Notes = append(p.result.Notes, fmt.Sprintf(format, args...))
}

// proven yields the records of messages as the chain proves them, and stops at the
// first error. A gap breaks the chain.
func proven(messages iter.Seq2[Message, error], chain *Chain) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for m, err := range messages {
			if errors.Is(err, ErrGap) {
				err = &CorruptError{What: "record", Seq: chain.Seq() + 1, Tick: chain.Tick() + 1, Rule: "I4", Reason: "it is missing", Err: err}
			}
			var r *Record
			if err == nil {
				r, err = chain.Next(m)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}
