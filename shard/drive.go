package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// This file is the shell around the owner: it passes events to the owner and performs its actions, one request at a time,
// on the goroutine of Run.

// send passes an event to the owner and performs the actions that follow, until the owner waits.
func (h *Host) send(ctx context.Context, ev Event) {
	if ev.Kind == EventStored {
		h.archive.stored(ev.Snapshot.Tick)
	}
	for more := true; more && !h.stopped; {
		if h.renew(ctx); h.stopped {
			return
		}
		ev.Now = h.now()
		more = h.perform(ctx, h.owner.Step(ev), &ev)
	}
}

// An Event is large, and a room's goroutine waits most of the time: what makes one is not inlined, so that the stack of a goroutine
// that waits has no room for it, and that of a busy one room for one at a time.

// signal sends an event that says nothing but its kind.
//
//go:noinline
func (h *Host) signal(ctx context.Context, kind EventKind) { h.send(ctx, Event{Kind: kind}) }

// propose proposes ticks.
//
//go:noinline
func (h *Host) propose(ctx context.Context, ticks []persistence.TickRecord) {
	h.send(ctx, Event{Kind: EventPropose, Ticks: ticks})
}

// seal ends the room.
//
//go:noinline
func (h *Host) seal(ctx context.Context, reason persistence.EndReason) {
	h.send(ctx, Event{Kind: EventEnd, End: &persistence.Seal{Reason: reason}})
}

// pass sends an event of the host's goroutines.
//
//go:noinline
func (h *Host) pass(ctx context.Context, ev *Event) { h.send(ctx, *ev) }

// renew tells the owner about the node's lease, if it has changed.
func (h *Host) renew(ctx context.Context) {
	state := h.cfg.Lease.State()
	if state == h.lease || h.stopped {
		return
	}
	h.lease = state
	h.leased(ctx, Held{ID: state.ID, Until: state.Sent.Add(state.TTL - h.margin(state.TTL)).Sub(h.origin)})
}

//go:noinline
func (h *Host) leased(ctx context.Context, held Held) {
	ev := Event{Kind: EventLease, Now: h.now(), Lease: held}
	h.perform(ctx, h.owner.Step(ev), &ev)
}

// margin returns how long before its end the lease counts as lost.
func (h *Host) margin(ttl time.Duration) time.Duration {
	if h.cfg.LeaseMargin > 0 {
		return h.cfg.LeaseMargin
	}
	return max(ttl/5, 200*time.Millisecond)
}

// perform performs the owner's actions. If one of them is a request, it puts the answer into ev.
func (h *Host) perform(ctx context.Context, actions []Action, ev *Event) (asked bool) {
	request := -1
	for i := range actions {
		a := &actions[i]
		switch a.Kind {
		case ActionTimer:
			h.wakeAt = h.origin.Add(a.At)
		case ActionFound:
			h.cfg.Log.Acknowledged(a.Seq, a.Message)
		case ActionGap:
			h.noteGap(a.Gap)
		case ActionOwn:
			h.asked.settled()
			h.owned(a.Seq)
		case ActionRelease:
			h.asked.settled()
			h.release(a)
		case ActionPurge:
			h.archive.purge(a.Info, a.Seq)
		case ActionHandOver:
			if !h.cfg.LeaveEnded || !errors.Is(a.Err, ErrEnded) {
				h.handOver(a.Epoch, a.Clean)
			}
		case ActionAlarm:
			h.alarm(a.Err)
		case ActionStop:
			h.stopped, h.reason = true, h.explain(a.Err)
			h.asked.settled()
			h.conditions.Clear(AwaitsEtcd, Degraded) // they describe a running shard
			if kind := ConditionOf(h.reason); kind != "" {
				h.raise(kind, true, h.reason.Error())
			}
		default:
			request = i
		}
	}
	h.watch()
	h.setPhase()
	if request < 0 {
		return false
	}
	h.request(ctx, &actions[request], ev)
	return true
}

// request sends a request to a service and waits for the answer.
func (h *Host) request(ctx context.Context, a *Action, ev *Event) {
	h.wakeAt = time.Time{}
	h.asked.asks(a, h.sim.Tick())
	defer func() {
		if waited := h.asked.answered(a, ev.Err); waited > patience && a.Kind != ActionAwait {
			h.logger.Info("the answer came: the shard continues", "request", a.Kind.String(), "waited", waited.Round(time.Millisecond))
		}
	}()
	*ev = Event{}
	ev.Op = a.Op
	if a.Kind == ActionAppend {
		ev.Kind = EventAppended
		ev.Err = h.append(a)
		return
	}
	h.ask(ctx, a, ev)
}

// ask is request for all but appends, which have no room on the stack for what the others return.
//
//go:noinline
func (h *Host) ask(ctx context.Context, a *Action, ev *Event) {
	switch a.Kind {
	case ActionStanding:
		ev.Kind = EventStanding
		ev.Standing, ev.Err = h.cfg.Ownership.Read(ctx)
	case ActionAwait:
		ev.Kind = EventFree
		if a.Standing.Halted != "" {
			h.logger.Warn("the shard is halted; waiting until the halt is lifted", "reason", a.Standing.Halted)
		} else {
			h.logger.Info("another node owns the shard; waiting", "owner", a.Standing.Owner, "epoch", a.Standing.Epoch)
		}
		ev.Err = h.cfg.Ownership.Await(ctx, a.Standing)
	case ActionClaim:
		ev.Kind = EventClaimed
		ev.Granted, ev.Err = h.cfg.Ownership.Claim(ctx, a.Bid)
	case ActionEvidence:
		ev.Kind = EventEvidence
		ev.Delta, ev.Snapshots, ev.Err = h.evidence(ctx)
	case ActionTail:
		ev.Kind = EventTail
		ev.Tail, ev.Err = h.tail(h.hold)
	case ActionRecorded:
		ev.Kind = EventRecorded
		var snapshots persistence.SnapshotReader
		if h.cfg.Snapshots != nil {
			snapshots = h.cfg.Snapshots
		}
		ev.Recorded, ev.Err = persistence.ReadRecorded(h.hold, h.cfg.Log, snapshots)
	case ActionGet:
		ev.Kind = EventMessage
		ev.Message, ev.Err = h.cfg.Log.Get(h.hold, a.Seq)
	case ActionRead:
		ev.Kind = EventMessage
		ev.Message, ev.Err = h.read(ctx, a.Seq, a.To)
		h.sim.bytes += uint64(len(ev.Message.Body))
	case ActionLoad:
		ev.Kind = EventLoaded
		h.logger.Info("recovering from a snapshot", "snapshot", a.Info.Name)
		snap, err := h.cfg.Snapshots.Get(ctx, a.Info)
		ev.Snapshot, ev.Err = &snap, err
	case ActionDelta:
		ev.Kind = EventDelta
		ev.Delta, ev.Err = h.delta(ctx, a)
	case ActionMakeSpace:
		ev.Kind = EventPurged
		ev.Err = h.purge(h.hold, a.Info, a.Seq)
	case ActionNote:
		ev.Kind = EventNoted
		ev.Err = h.cfg.Ownership.Note(h.hold, a.Note)
	default:
		panic("shard: the host does not know action " + a.Kind.String())
	}
}

// append sends a record, unless it is too large for the log.
func (h *Host) append(a *Action) error {
	if limit := h.cfg.Log.MaxRecordBytes(); len(a.Message.Body) > limit {
		return fmt.Errorf("%w: the log accepts at most %d bytes", ErrTooLarge, limit)
	}
	return h.cfg.Log.Append(h.hold, a.Message, a.Expect)
}

// wait blocks until the owner's timer, the given time (zero: none), news from the host's goroutines, or the end of ctx, and
// passes the event to the owner.
func (h *Host) wait(ctx context.Context, other time.Time) {
	until := h.wakeAt
	if until.IsZero() || !other.IsZero() && other.Before(until) {
		until = other
	}
	if until.IsZero() {
		until = time.Now().Add(time.Second) // nothing is planned: check the lease from time to time
	}
	h.timer.Reset(time.Until(until))
	select {
	case ev := <-h.inbox:
		h.pass(ctx, ev)
		return
	case <-h.doze.nudge:
		return
	case <-ctx.Done():
		return
	case <-h.timer.C:
	}
	if !h.wakeAt.IsZero() && !time.Now().Before(h.wakeAt) {
		h.wakeAt = time.Time{}
	}
	h.signal(ctx, EventTimer)
}

// watch cancels the owner's blocking requests when the lease of its claim is lost. It starts with the claim.
func (h *Host) watch() {
	if h.watched || !h.owner.Claimed() || h.stopped {
		return
	}
	h.watched = true
	h.watchdog = &watchdog{host: h, id: h.lease.ID}
	h.watchdog.look()
}

// watchdog ends a host's hold with its lease.
type watchdog struct {
	host *Host
	id   int64

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// look ends the hold and a doze if the lease is lost, and looks again when it might be.
func (d *watchdog) look() {
	state := d.host.cfg.Lease.State()
	left := time.Until(state.Sent.Add(state.TTL - d.host.margin(state.TTL)))
	if state.ID != d.id || left <= 0 {
		d.host.drop()
		d.host.doze.wake()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.over:
	case d.timer == nil:
		d.timer = time.AfterFunc(left, d.look)
	default:
		d.timer.Reset(left)
	}
}

func (d *watchdog) end() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over = true; d.timer != nil {
		d.timer.Stop()
	}
}

// evidence reads what the delta stream and the snapshot store know about the log.
func (h *Host) evidence(ctx context.Context) (*persistence.Delta, []persistence.SnapshotInfo, error) {
	var last *persistence.Delta
	if h.cfg.Deltas != nil {
		d, ok, err := h.lastDelta(ctx)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			last = &d
		}
	}
	if h.cfg.Snapshots == nil {
		return last, nil, nil
	}
	all, err := h.cfg.Snapshots.List(ctx)
	if errors.Is(err, persistence.ErrNotFound) {
		err = nil
	}
	return last, all, err
}

// lastDelta returns the newest readable delta, without its body. Deltas can be derived from the log, so damage to their
// stream keeps no shard from starting: a damaged message raises an alarm and is skipped, and its tick is published again.
func (h *Host) lastDelta(ctx context.Context) (last persistence.Delta, ok bool, err error) {
	last, ok, err = h.cfg.Deltas.Last(ctx)
	if err == nil || errors.Is(err, persistence.ErrNotFound) {
		return last, ok, nil
	}
	if !lasting(err) {
		return last, false, err
	}
	h.alarmOnce(fmt.Errorf("the shard continues without the end of the delta stream: %w", err))
	last = persistence.Delta{}
	for d, err := range h.cfg.Deltas.Read(ctx, h.snapshotTick(ctx)) {
		switch {
		case err == nil:
			d.Body = nil
			last, ok = d, true
		case !lasting(err):
			return persistence.Delta{}, false, err
		}
	}
	return last, ok, nil
}

// snapshotTick returns the tick of the newest snapshot, from which on deltas are worth reading; 0 if none is known.
func (h *Host) snapshotTick(ctx context.Context) uint64 {
	if h.cfg.Snapshots == nil {
		return 0
	}
	all, err := h.cfg.Snapshots.List(ctx)
	if err != nil {
		return 0
	}
	for _, info := range all {
		if info.Damaged == "" {
			return info.Tick
		}
	}
	return 0
}

// tail reads where the log ends.
func (h *Host) tail(ctx context.Context) (t Tail, err error) {
	t, err = h.extent(ctx)
	if errors.Is(err, persistence.ErrNotFound) {
		return Tail{Missing: true}, nil
	}
	if err != nil || t.Last == 0 {
		return t, err
	}
	m, err := h.cfg.Log.Get(ctx, t.Last)
	t.Epoch, t.Tick = m.Header.Epoch, m.Header.LastTick
	t.Sealed = err == nil && m.Header.Kind == persistence.KindSeal.String()
	if lasting(err) { // it is missing or not a record: recovery will report it
		err, t.Tick = nil, persistence.UnknownTick
	}
	return t, err
}

// span is the part of the log still to be read.
type span struct{ from, to persistence.Seq }

// read returns one record of a sequential read, which continues where the last call ended.
func (h *Host) read(ctx context.Context, seq, to persistence.Seq) (persistence.Message, error) {
	if part := (span{seq, to}); !h.records.open(part) {
		h.records.start(part, h.cfg.Log.Read(ctx, seq, to))
	}
	m, err, ok := h.records.take(span{seq + 1, to})
	if !ok {
		h.records.close()
		return m, persistence.ErrGap
	}
	return m, err
}

// delta returns the whole delta of a tick, or nil if the stream does not have it. For a tick that was simulated again after
// an accepted loss the stream has two deltas, and the first is void.
func (h *Host) delta(ctx context.Context, a *Action) (*persistence.Delta, error) {
	if h.cfg.Deltas == nil {
		return nil, nil
	}
	tick := a.Tick
	if !h.deltas.open(tick) {
		known := persistence.History{Accepted: a.Standing.Accepted}
		h.deltas.start(tick, known.Valid(h.cfg.Deltas.Read(ctx, tick)))
	}
	for {
		d, err, ok := h.deltas.peek()
		if err != nil || !ok {
			h.deltas.close()
			return nil, err
		}
		if d.Tick > tick {
			h.deltas.at = tick + 1
			return nil, nil
		}
		d, _, _ = h.deltas.take(tick + 1)
		if d.Tick == tick && d.Gap == nil {
			return &d, nil
		}
	}
}

// pull is a sequential read that continues piece by piece and reads one piece ahead.
type pull[K comparable, V any] struct {
	at     K // the key of the next piece
	next   func() (V, error, bool)
	stop   func()
	peeked bool
	value  V
	err    error
	ok     bool
}

func (p *pull[K, V]) open(at K) bool { return p.stop != nil && p.at == at }

func (p *pull[K, V]) start(at K, seq iter.Seq2[V, error]) {
	p.close()
	p.at = at
	p.next, p.stop = iter.Pull2(seq)
}

func (p *pull[K, V]) peek() (V, error, bool) {
	if !p.peeked {
		p.value, p.err, p.ok = p.next()
		p.peeked = true
	}
	return p.value, p.err, p.ok
}

// take returns the next piece; at becomes the key of the piece after it. An error ends the read.
func (p *pull[K, V]) take(at K) (V, error, bool) {
	v, err, ok := p.peek()
	p.peeked, p.at = false, at
	if err != nil || !ok {
		p.close()
	}
	return v, err, ok
}

func (p *pull[K, V]) close() {
	if p.stop != nil {
		p.stop()
	}
	*p = pull[K, V]{}
}

// noteGap puts a gap message into the ring.
func (h *Host) noteGap(g persistence.Gap) {
	h.logger.Warn("the delta stream will lack some ticks; the log has them", "from", g.FromTick, "to", g.ToTick, "reason", g.Reason)
	h.ring.add(persistence.Delta{Lineage: h.cfg.Lineage, Epoch: h.owner.Epoch(), RecordSeq: max(h.owner.Last(), 1), Tick: g.ToTick, Part: 1, Parts: 1, Gap: &g})
}

// handOver releases the owner key, best effort: it ends with the node's lease in any case.
func (h *Host) handOver(epoch persistence.Epoch, clean bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.hold), 2*time.Second)
	defer cancel()
	if err := h.cfg.Ownership.Release(ctx, epoch, clean); err != nil {
		h.logger.Warn("the owner key is not released; it ends with the lease, unless the node can release it sooner", "error", err)
	}
}

// alarmOnce logs an alarm that was not logged before. Any goroutine may call it.
func (h *Host) alarmOnce(err error) {
	h.mu.Lock()
	told := h.told[err.Error()]
	if !told {
		h.told[err.Error()] = true
	}
	h.mu.Unlock()
	if !told {
		h.alarm(err)
	}
}

// alarm logs an error for an operator, unless it says only that the host's own context ended.
func (h *Host) alarm(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	h.logger.Error("the shard raised an alarm", "error", err)
	var diverged *persistence.DivergedError
	if errors.As(err, &diverged) {
		h.mu.Lock()
		h.stats.Diverged = diverged.Tick
		h.mu.Unlock()
		for _, line := range diverged.Values() {
			h.logger.Error("this value differs from the log's", "tick", diverged.Tick, "value", line)
		}
	}
}
