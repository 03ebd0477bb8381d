package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Finding is one thing that a check found.
type Finding struct {
	Where     string // "log", "deltas" or "snapshots"
	Invariant string // as OWNERSHIP.md of package shard lists them: "I2", "I3", "I4", "I5", "I8", "I9"; "" when only the bytes are damaged
	Warning   bool   // worth knowing, but nothing is broken
	Seq       Seq    // of the record concerned; 0 when unknown
	Tick      uint64 // of the first tick concerned; 0 when unknown
	What      string
	Then      []string // what only follows from it
}

// String returns the finding in one line, without Then.
func (f Finding) String() string {
	kind := "broken"
	if f.Warning {
		kind = "warning"
	}
	if f.Invariant != "" {
		kind += " " + f.Invariant
	}
	return fmt.Sprintf("%s: %s: %s%s", f.Where, kind, f.Place(), f.What)
}

// Place returns sequence and tick, as far as they are known, followed by ": ".
func (f Finding) Place() string {
	switch {
	case f.Seq == 0 && f.Tick == 0:
		return ""
	case f.Tick == 0:
		return fmt.Sprintf("sequence %d: ", f.Seq)
	case f.Seq == 0:
		return fmt.Sprintf("tick %d: ", f.Tick)
	}
	return fmt.Sprintf("sequence %d, tick %d: ", f.Seq, f.Tick)
}

// Report is the result of a check.
type Report struct {
	First       Seq // of the log
	Last        Seq
	Records     int    // read and decoded
	Ticks       uint64 // found in records
	FirstTick   uint64
	LastTick    uint64
	Epochs      int         // epoch records
	Epoch       Epoch       // the last one
	Checksum    uint64      // recorded after LastTick
	Deltas      int         // whole ones compared with the log
	Gaps        int         // gap messages
	Snapshots   int         // verified against the log
	Resimulated uint64      // ticks re-simulated, checksum and delta compared
	Sound       []TickRange // ticks that can be replayed: from genesis, or from a verified snapshot, up to the next damage
	Findings    []Finding
	Unlisted    int   // findings beyond CheckOptions.MaxFindings
	Unproven    error // why some ticks or snapshots were not compared with the game, which is Foreign to them; nil when all were
	broken      bool
}

// TickRange is a range of consecutive ticks.
type TickRange struct{ First, Last uint64 }

// String returns "ticks 3 to 9", or "tick 3".
func (r TickRange) String() string {
	if r.First == r.Last {
		return fmt.Sprintf("tick %d", r.First)
	}
	return fmt.Sprintf("ticks %d to %d", r.First, r.Last)
}

// Broken reports whether an invariant is broken. Warnings do not count.
func (r *Report) Broken() bool { return r.broken }

// CheckOptions say how deep a check goes.
type CheckOptions struct {
	Game        *ecs.Game                        // re-simulate every tick with it (I5); nil checks only the log's form
	MaxFindings int                              // any beyond that are only counted; 0 means 100
	Progress    func(seq, last Seq, tick uint64) // called after each record, unless nil
}

// Check proves what the stored bytes can prove: one value per tick (I2),
// increasing epochs (I3), the chain (I4), the delta stream and the snapshots
// against the log, the purge limit (I8), and that the log's tail was not cut
// (I9). With a game it also proves the checksums (I5) and the bytes of every
// delta. The log may grow meanwhile: Check proves it up to its end when the check
// began. Damage is a finding, not an error; Check continues after it, and
// re-simulation continues from the next snapshot. Each cause is one finding, which
// lists what only follows from it. Check returns an error only when a store cannot
// be read at all, when the game's Setup panics, or when ctx ends.
func Check(ctx context.Context, src Source, o CheckOptions) (Report, error) {
	if o.MaxFindings == 0 {
		o.MaxFindings = 100
	}
	c := &checker{src: src, o: o, chain: NewChain(src.Lineage)}
	err := c.run(ctx)
	return c.report, err
}

// checker walks the log, with deltas and snapshots in step.
type checker struct {
	src       Source
	o         CheckOptions
	report    Report
	chain     *Chain
	known     History // evidence about the log, gathered before its end was read
	lost      bool    // the chain broke: accept the next record as it is
	breaks    []*breach
	loss      *int // the finding that history is lost, once there is one
	foreign   *foreign
	rooted    bool // the ticks since genesis, or since a verified snapshot, are sound
	idle      idle
	fit       fit
	world     *ecs.World // at the chain's tick; nil when unknown
	frame     ecs.Frame
	body      []byte // the re-simulated delta's body
	deltas    *deltaCheck
	snapshots *snapshotCheck
	fault     error // of the game, which makes no world
}

// faulted reports whether an error is the game's fault and tells nothing about the store: its Setup panics. It ends the check.
func (c *checker) faulted(err error) bool {
	if _, ok := errors.AsType[*ecs.SetupPanic](err); ok {
		c.fault = err
	}
	return c.fault != nil
}

func (c *checker) run(ctx context.Context) (err error) {
	r := &c.report
	if err := c.evidence(ctx); err != nil {
		return err
	}
	if c.snapshots, err = newSnapshotCheck(ctx, c); err != nil {
		return err
	}
	if r.First, err = c.src.Log.First(ctx); err != nil {
		return fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	if r.Last, err = c.src.Log.Last(ctx); err != nil {
		return fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	c.deltas = newDeltaCheck(ctx, c)
	defer c.deltas.close()
	c.lost = r.First > 1
	for seq := r.First; seq > 0 && seq <= r.Last; {
		if seq, err = c.stretch(ctx, seq); err != nil {
			return err
		}
	}
	lastTick := max(c.chain.Tick(), r.LastTick)
	if c.torn() != nil {
		lastTick = UnknownTick // the damage at the log's end hides it
	}
	if err := c.known.Lost(r.Last, lastTick, 0); err != nil && c.loss == nil {
		c.lostHistory(err)
	}
	c.accepted()
	c.deltas.rest(ctx)
	c.snapshots.rest()
	if c.fault != nil {
		return c.fault
	}
	c.resumed()
	c.foreign.end(c)
	for _, b := range c.breaks {
		c.follow(b.finding, b.consequences()...)
	}
	for _, f := range c.src.Known {
		c.find(f)
	}
	if c.deltas.err != nil {
		return fmt.Errorf("persistence: reading the delta stream: %w", c.deltas.err)
	}
	return ctx.Err()
}

// evidence gathers the evidence of where the log ends.
func (c *checker) evidence(ctx context.Context) (err error) {
	c.known, err = c.src.history(ctx)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) { // the last delta is damaged: the walk along the stream reports it
		err = nil
	}
	return err
}

// accepted warns of the losses that an operator accepted: clients saw ticks that were simulated a second time.
func (c *checker) accepted() {
	for i, a := range c.src.Accepted {
		f := Finding{Where: "log", Warning: true, Seq: a.Seq + 1, What: fmt.Sprintf("a loss of history was accepted here: everything that epochs up to %d committed above record %d is void", a.Epoch, a.Seq)}
		if i == len(c.src.Accepted)-1 && c.snapshots.void > 0 {
			f.What += fmt.Sprintf("; void snapshots: %d", c.snapshots.void)
		}
		c.find(f)
	}
}

// stretch reads from seq to the end or past the next hole, and returns the
// sequence to continue with.
func (c *checker) stretch(ctx context.Context, seq Seq) (Seq, error) {
	for m, err := range c.src.Log.Read(ctx, seq, c.report.Last) {
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err == nil:
			if c.message(ctx, m); c.fault != nil {
				return 0, c.fault
			}
			seq = m.Seq + 1
			if c.o.Progress != nil {
				c.o.Progress(m.Seq, c.report.Last, c.chain.Tick())
			}
		case errors.Is(err, ErrLost): // the store itself knows that its tail is gone
			c.lostHistory(err)
			return c.report.Last + 1, nil
		case errors.Is(err, ErrGap), errors.Is(err, ErrCorrupt):
			return c.hole(ctx, seq, err)
		default:
			return 0, fmt.Errorf("persistence: reading the log at sequence %d: %w", seq, err)
		}
	}
	if seq <= c.report.Last {
		return c.hole(ctx, seq, fmt.Errorf("%w: reading ended early", ErrGap))
	}
	return seq, nil
}

// hole reports the whole hole once and returns the sequence after it.
func (c *checker) hole(ctx context.Context, from Seq, cause error) (Seq, error) {
	f := Finding{Where: "log", Invariant: "I4", Seq: from, Tick: c.chain.Tick() + 1, What: "it is missing"}
	if errors.Is(cause, ErrCorrupt) {
		f.What = bare(cause)
	}
	b := &breach{from: from, to: from, reason: f.What}
	next := from + 1
	for ; next <= c.report.Last; next++ {
		_, err := c.src.Log.Get(ctx, next)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrGap) {
			return 0, fmt.Errorf("persistence: reading sequence %d: %w", next, err)
		}
		reason := "it is missing"
		if errors.Is(err, ErrCorrupt) {
			reason = bare(err)
		}
		b.widen(next, reason)
	}
	if next > from+1 && !errors.Is(cause, ErrCorrupt) && b.more == 0 {
		f.What, b.to = fmt.Sprintf("records %d to %d are missing", from, next-1), next-1
	}
	b.finding = c.find(f)
	c.broke(b)
	return next, nil
}

// message checks the next message of the log.
func (c *checker) message(ctx context.Context, m Message) {
	r, err := c.prove(m)
	if err != nil && c.otherLineage(m, err) {
		r, err = c.prove(m)
	}
	if err != nil {
		c.refused(m, err)
		return
	}
	c.report.Records++
	c.report.Epoch = r.Epoch
	switch r.Kind {
	case KindGenesis:
		c.rooted = true
		c.genesis(r)
	case KindEpoch:
		c.report.Epochs++
		c.fit.record(r)
		c.fits()
	case KindTicks:
		c.ticks(r)
	}
	c.snapshots.record(ctx, r, m.Body)
}

func (c *checker) prove(m Message) (*Record, error) {
	if !c.lost {
		return c.chain.Next(m)
	}
	before := c.chain.Epoch()
	r, err := c.chain.Anchor(m)
	if err != nil {
		return nil, err
	}
	c.lost = false
	if r.Epoch < before {
		c.find(Finding{Where: "log", Invariant: "I3", Seq: r.Seq, Tick: r.FirstTick(), What: fmt.Sprintf("its epoch is %d, but the current epoch was %d", r.Epoch, before)})
	}
	return r, nil
}

func (c *checker) genesis(r *Record) {
	if c.o.Game == nil {
		return
	}
	g := r.Genesis
	if g.Game != c.o.Game.Name {
		c.unproven(otherGame(g.Game, c.o.Game.Name))
		return
	}
	w, err := ecs.New(*c.o.Game, ecs.Config{Seed: g.Seed, Options: g.Options})
	if c.faulted(err) {
		return
	}
	if err != nil {
		c.find(Finding{Where: "log", Invariant: "I5", Seq: r.Seq, What: "it cannot be re-simulated: " + err.Error()})
		return
	}
	c.world, c.fit.have = w, w.Schema()
	c.fit.record(r)
	c.fits()
}

// fits stops the re-simulation if the game can use neither the state nor the ticks of the current schema.
func (c *checker) fits() {
	if c.fit.breaks(ecs.BreaksState | ecs.BreaksTicks) {
		c.world = nil
		c.unproven(c.fit.differs)
	}
}

// unproven keeps the first reason why the log could not be compared with the game.
func (c *checker) unproven(err error) {
	if c.report.Unproven == nil {
		c.report.Unproven = err
	}
}

func (c *checker) ticks(r *Record) {
	for i := range r.Ticks {
		t := &r.Ticks[i]
		if c.report.Ticks++; c.report.FirstTick == 0 {
			c.report.FirstTick = t.Tick
		}
		c.report.LastTick, c.report.Checksum = t.Tick, t.Checksum
		c.deltas.tick(loggedTick{seq: r.Seq, epoch: r.Epoch, tick: t}, c.resimulate(r.Seq, t))
		c.sound(t.Tick)
	}
}

// resimulate returns the bytes of the tick's delta, nil when unknown.
func (c *checker) resimulate(seq Seq, t *TickRecord) []byte {
	if c.world == nil {
		c.idle.tick(t.Tick)
		return nil
	}
	out, err := resimulateTick(c.world, seq, t, &c.frame)
	if err != nil {
		if c.world = nil; c.fit.breaks(ecs.BreaksTicks) {
			c.unproven(c.fit.blame(err))
		} else {
			c.stalled(c.findError("log", c.fit.by(err)))
		}
		return nil
	}
	c.report.Resimulated++
	if c.fit.breaks(ecs.BreaksDeltas) {
		c.unproven(c.fit.differs) // this build numbers types differently in its deltas
		return nil
	}
	c.body = out.Delta.AppendTo(c.body[:0])
	return c.body
}
