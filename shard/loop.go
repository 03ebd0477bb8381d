package shard

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// catchUp is how many overdue ticks the host commits at once.
const catchUp = 8

// ticking is the state of the tick loop.
type ticking struct {
	pacer    Pacer
	*ticks             // of the outstanding record; nil between two records
	count    int       // ticks in the outstanding record
	empty    uint64    // ticks in a row without a session
	skipped  int       // ticks whose time was skipped since the last log line
	toldSkip time.Time // when that line was logged
	begin    time.Time
	sent     time.Time
	excess   time.Duration // work beyond the time of its ticks that later ticks have not made up for
	rest     time.Time     // until when a room that takes more than its time leaves the processor to others
}

// ticks is the memory of a record's ticks, which the hosts of a crew share.
type ticks struct {
	commands [][]ecs.Command
	frames   [][]byte
	outputs  []ecs.Output
	records  []persistence.TickRecord
}

// extend makes room for n ticks.
func (t *ticks) extend(n int) {
	if more := n - len(t.frames); more > 0 {
		t.commands = append(t.commands, make([][]ecs.Command, more)...)
		t.frames = append(t.frames, make([][]byte, more)...)
		t.outputs = append(t.outputs, make([]ecs.Output, more)...)
		t.records = append(t.records, make([]persistence.TickRecord, more)...)
	}
}

// clear drops what n ticks refer to.
func (t *ticks) clear(n int) {
	for i := range n {
		clear(t.commands[i])
		t.commands[i] = t.commands[i][:0]
	}
	clear(t.outputs[:n])
	clear(t.records[:n])
}

// owned begins the steady state: the world is recovered, and the epoch record is in the log.
func (h *Host) owned(seq persistence.Seq) {
	w := h.sim.world
	h.sim.apart = nil // recovery is over: no divergence is left to explain
	h.mark.Store(uint64(seq))
	rate := w.Game().TickRate
	h.rate.Store(int32(rate))
	h.tick.pacer = NewPacer(firstTick(h.crew.origin, time.Now(), h.cfg.Phase, rate), rate)
	h.mu.Lock()
	h.stats.Tick, h.stats.Checksum, h.stats.Entities, h.stats.RecoveredTick = w.Tick(), w.Checksum(), w.Len(), w.Tick()
	h.stats.RecoveryMS = float64(h.now()) / float64(time.Millisecond)
	h.mu.Unlock()
	h.records.close()
	h.deltas.close()
	h.owns.Store(true)
	h.logger.Info("the shard is owned", "epoch", h.owner.Epoch(), "sequence", seq, "tick", w.Tick())
	if h.cfg.Frontend != nil {
		h.served = true
		h.cfg.Frontend.Own(w, uint64(h.owner.Epoch()))
		h.listen(h.arrive)
	}
}

// serve runs the ticks until the shard is stopped or lost.
func (h *Host) serve(ctx context.Context) {
	drained := h.begin()
	h.limit(ctx, 0) // a predecessor may have died between the last tick and the seal
	for !h.stopped && ctx.Err() == nil {
		h.hear(ctx)
		h.settle(ctx) // an event may have ended the room
		if h.stopped {
			break
		}
		now := time.Now()
		h.skip(now)
		batch, at := h.batch()
		due := h.tick.pacer.Due(now)
		h.doze.slept = max(h.doze.slept, batch)
		late := max(0, due-h.doze.slept)
		h.showDebt(late)
		if at = later(at, h.tick.rest); now.Before(at) {
			h.wait(ctx, at)
			continue
		}
		slept := min(h.doze.slept, due)
		made := h.record(ctx, h.several(due), late, now)
		h.doze.slept = max(0, slept-made)
	}
	h.showDebt(0)
	h.disown()
	if !h.stopped || errors.Is(h.reason, ErrEnded) {
		drained()
	}
	h.signal(ctx, EventStop)
	h.drop()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const (
	tolerated = time.Second / 2  // work beyond its time after which a room rests
	mostRest  = 10 * time.Second // bounds the rest after a record
)

// exhaust makes a room rest after a record for as long as its ticks have worked, once that is more than the time that they last,
// again and again: it cannot keep its rate anyway, and gets half a processor at most. Its neighbours get the others and the rest of
// this one. A single record, however long it takes, is no reason: the process may have stood still.
func (h *Host) exhaust(work time.Duration, now time.Time) {
	t := &h.tick
	if !h.cfg.Doze {
		return
	}
	beyond := min(work-time.Duration(t.count)*time.Second/time.Duration(t.pacer.rate), tolerated)
	if t.excess = min(max(0, t.excess+beyond), 2*tolerated); t.excess > tolerated {
		t.rest = now.Add(min(work, mostRest))
	}
}

// several returns how many of the due ticks the next record has. A room that rests makes one at a time, and one that has slept makes
// what it slept through, unless it has become clear that this is too much for a record.
func (h *Host) several(due int) int {
	if h.tick.excess > tolerated {
		return 1
	}
	return min(due, max(catchUp, min(h.doze.slept, h.doze.most())))
}

// skip skips the overdue time that will not be caught up, and logs it.
func (h *Host) skip(now time.Time) {
	t := &h.tick
	if n := t.pacer.Skip(now, CatchUpSeconds*int(t.pacer.rate)+max(0, h.doze.slept-1)); n > 0 {
		t.skipped += n
		h.mu.Lock()
		h.stats.Skipped += uint64(n)
		h.mu.Unlock()
	}
	if t.skipped > 0 && now.Sub(t.toldSkip) >= failuresEvery {
		span := time.Duration(t.skipped) * time.Second / time.Duration(t.pacer.rate)
		h.logger.Warn("the shard was delayed for longer than it can catch up: it skips the excess time, but no tick number", "skipped", span.Round(time.Millisecond), "ticks", t.skipped, "catches_up", CatchUpSeconds*time.Second)
		t.skipped, t.toldSkip = 0, now
	}
}

// disown tells the frontend, once, that this node no longer serves the shard.
func (h *Host) disown() {
	h.owns.Store(false)
	if h.cfg.Frontend == nil || !h.served {
		return
	}
	h.served = false
	reason := h.reason
	if reason == nil {
		reason = ErrStopped
	}
	h.listen(nil)
	h.cfg.Frontend.Disown(reason)
}

// hear handles the events of the host's goroutines, and news of the lease.
func (h *Host) hear(ctx context.Context) {
	for {
		select {
		case ev := <-h.inbox:
			h.pass(ctx, ev)
		default:
			h.signal(ctx, EventTimer) // if the lease is lost, the owner notices now
			return
		}
	}
}

// record simulates n ticks, some of them late, and commits them as one record. Nothing reads the world between the ticks:
// all commands are latched before the first. It returns how many it made.
func (h *Host) record(ctx context.Context, n, late int, begin time.Time) (made int) {
	if h.stopped || !h.owner.Ready() {
		return 0
	}
	t, w := &h.tick, h.sim.world
	n = min(n, h.ticksLeft())
	t.ticks = h.crew.ticks()
	t.extend(n)
	defer func(n int) {
		h.crew.giveTicks(t.ticks, n)
		t.ticks = nil
	}(n)
	h.doze.arrived.Store(false)
	h.sim.stepping.begin(w, w.Tick()+1) // what checks a command is the game's, and may hang like a system
	h.latch(w, n)
	h.sim.stepping.end()
	n = h.simulate(ctx, w, n)
	if t.count == 0 { // the first record
		h.simulated.Store(true)
		h.background.noting.wake()
	}
	t.count, t.begin = n, begin
	t.pacer.Did(n)
	t.sent = time.Now()
	h.mu.Lock()
	h.stats.Ticks += uint64(n)
	h.stats.Late += uint64(min(n, late))
	h.mu.Unlock()
	h.propose(ctx, t.records[:n])
	h.doze.count(t.commands[:n], t.outputs[:n], w.Sessions())
	h.settle(ctx)
	h.limit(ctx, n)
	return n
}

// simulate steps through n ticks and returns how many were made: fewer if the host stops, if the room ends, or if the rest of a
// doze might not fit into the record. It is not inlined: what it has on its stack is not needed while the record is committed.
//
//go:noinline
func (h *Host) simulate(ctx context.Context, w *ecs.World, n int) int {
	t, bytes, most := &h.tick, 0, math.MaxInt
	if h.doze.slept > 1 && len(t.commands[n-1]) == 0 { // else the last tick has to be in this record
		most = h.cfg.Log.MaxRecordBytes() / 2
	}
	for i := range n {
		if i > 0 && ctx.Err() != nil {
			return i // the rest of the debt dies with the stop
		}
		f := ecs.Frame{Tick: w.Tick() + 1, Commands: t.commands[i]}
		t.frames[i] = w.AppendFrame(t.frames[i][:0], f)
		h.sim.stepping.begin(w, f.Tick)
		out := w.Step(f)
		h.sim.stepping.end()
		if i < n-1 {
			out = out.Clone() // it is valid only until the next Step
		}
		t.outputs[i] = out
		t.records[i] = persistence.NewTickRecord(t.frames[i], out)
		if _, ends := ecs.Result(out.Outbox); ends {
			return i + 1 // nothing comes after the room's last tick
		}
		if bytes += weight(&t.records[i]); bytes > most {
			return i + 1
		}
	}
	return n
}

// weight returns about how many bytes a tick takes in its record.
func weight(t *persistence.TickRecord) int {
	const beside = 64 // what is not counted: keys and numbers
	n := beside + len(t.Frame)
	for i := range t.Outbox {
		m := &t.Outbox[i]
		n += beside + len(m.To) + len(m.Name) + len(m.Payload)
	}
	for i := range t.Failures {
		f := &t.Failures[i]
		n += beside + len(f.System) + len(f.Reason)
	}
	return n
}

// ticksLeft returns how many ticks the room has at most before a limit ends it, but at least one.
func (h *Host) ticksLeft() int {
	l, left := h.cfg.Limits, uint64(persistence.MaxTicks)
	if tick := h.sim.world.Tick(); l.Ticks > tick {
		left = min(left, l.Ticks-tick)
	}
	if l.IdleTicks > h.tick.empty && h.sim.world.Sessions() == 0 {
		left = min(left, l.IdleTicks-h.tick.empty)
	}
	return int(left)
}

// limit ends the room if its time is over or nobody has been there for its idle time. Both are counted in ticks; an owner
// counts the idle ones from its own beginning.
func (h *Host) limit(ctx context.Context, ticks int) {
	w, l := h.sim.world, h.cfg.Limits
	if h.tick.empty += uint64(ticks); w.Sessions() > 0 {
		h.tick.empty = 0
	}
	switch {
	case l.Ticks > 0 && w.Tick() >= l.Ticks:
		h.seal(ctx, persistence.EndLimit)
	case l.IdleTicks > 0 && h.tick.empty >= l.IdleTicks:
		h.seal(ctx, persistence.EndIdle)
	}
}

// Close ends the room, at the request of a service or, with "", an operator: its log is sealed after the current tick. Close
// does not wait for it. It returns false if this host does not own the shard, or ends: then the room goes on, and whoever owns it
// next is to be asked.
func (h *Host) Close(ctx context.Context, by string) bool {
	if !h.owns.Load() {
		return false
	}
	select {
	case h.inbox <- &Event{Kind: EventEnd, End: &persistence.Seal{Reason: persistence.EndClosed, By: by}}:
		return true
	case <-h.over:
	case <-ctx.Done():
	}
	return false
}

// latch takes the commands of n ticks from the frontend and orders those of each tick. A host that has dozed asks for the last tick's
// alone: what has arrived meanwhile came after the others were due.
func (h *Host) latch(w *ecs.World, n int) {
	if h.cfg.Frontend == nil {
		return
	}
	first := 0
	if h.doze.slept > 1 {
		first = n - 1
	}
	for i := first; i < n; i++ {
		t, tick := &h.tick, w.Tick()+1+uint64(i)
		t.commands[i] = h.cfg.Frontend.Latch(w, tick, t.commands[i], ecs.FrameBytes/(n-first))
		w.Order(tick, t.commands[i])
	}
}

// settle waits until nothing is outstanding. A stop waits for the record, too, up to StopTimeout.
func (h *Host) settle(ctx context.Context) {
	var deadline time.Time
	wait := ctx
	for !h.stopped && h.owner.Outstanding() {
		if ctx.Err() != nil && deadline.IsZero() {
			deadline = time.Now().Add(h.cfg.StopTimeout)
			wait = context.WithoutCancel(ctx)
			h.signal(wait, EventStop)
			continue
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			h.signal(wait, EventStop)
			continue
		}
		h.wait(wait, deadline)
	}
}

// release releases the effects of a committed record.
func (h *Host) release(a *Action) {
	seq, epoch := a.Seq, a.Epoch
	t, w := &h.tick, h.sim.world
	now := time.Now()
	h.mark.Store(uint64(seq))
	if h.cfg.Frontend != nil {
		h.cfg.Frontend.Release(w, uint64(seq), uint64(epoch), t.outputs[:t.count])
	}
	bytes := len(a.Message.Body)
	if h.cfg.Deltas != nil {
		for _, out := range t.outputs[:t.count] {
			bytes += h.sim.publish(seq, epoch, out)
		}
	}
	h.doze.bytes = bytes / t.count
	if h.archive != nil {
		h.archive.drive(Mileage{Ticks: uint64(t.count), Bytes: uint64(len(a.Message.Body)), Work: t.sent.Sub(t.begin)})
	}
	h.snapshot(seq, epoch)
	h.noteFailures(t.outputs[:t.count], now)
	h.committed(seq, now)
}

// committed counts a record. A tick's time is its work before and after the commit.
func (h *Host) committed(seq persistence.Seq, acknowledged time.Time) {
	t, w := &h.tick, h.sim.world
	took := (t.sent.Sub(t.begin) + time.Since(acknowledged)) / time.Duration(t.count)
	h.mu.Lock()
	defer h.mu.Unlock()
	work := took * time.Duration(t.count)
	h.exhaust(work, time.Now())
	h.doze.took = took
	h.work.Add(int64(work))
	h.lag.add(t.count, work, acknowledged.Sub(t.sent))
	h.times.commit.record(acknowledged.Sub(t.sent))
	for range t.count {
		h.times.tick.record(took)
	}
	h.stats.Committed += uint64(t.count)
	h.stats.Records++
	h.stats.LastSeq, h.stats.Tick, h.stats.Checksum, h.stats.Entities = seq, w.Tick(), w.Checksum(), w.Len()
}

// showDebt publishes how many ticks are overdue by a tick or more.
func (h *Host) showDebt(debt int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Debt = debt
	h.stats.MaxDebt = max(h.stats.MaxDebt, debt)
	h.lag.measure(h.sim.world, debt, int(h.tick.pacer.rate), time.Now())
}
