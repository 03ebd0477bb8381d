package shard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/persistence"
)

// This file is a host's background work: it publishes deltas, stores snapshots, measures the log, and notes the high-water mark
// in the coordination service. Each job is a task of the node's crew; no tick ever waits for one.

const (
	highEvery     = time.Second
	roomHighEvery = 10 * time.Second      // of a room whose notes are written together with others
	highShare     = 5 * time.Millisecond  // see Crew.pace
	measureShare  = 50 * time.Millisecond // likewise
	publishBatch  = 32
	roomBatch     = persistence.MaxTicks   // a room's, which are one message (jetstream.Deltas.Publish)
	publishWait   = 500 * time.Millisecond // of a room's deltas for others
	publishRetry  = 200 * time.Millisecond
	drainAtStop   = 250 * time.Millisecond
	noteAtStop    = time.Second
	maxRetryDelay = 5 * time.Second
)

// background is the state of a host's tasks. Each has its own part.
type background struct {
	publishing, noting, measuring, archiving *task // nil: not begun, or not needed

	publisher struct {
		delay time.Duration
		known bool // how far the stream has come
	}
	notes struct {
		epoch   persistence.Epoch // a copy: the owner belongs to the tick loop
		noted   uint64
		lived   bool // the first tick was simulated, and noted as such
		failing bool
		over    bool       // a later owner has noted
		asked   uint64     // the mark of the note under way
		answer  chan error // to that note; nil: none is under way
	}
	growth growth
}

// begin starts the host's tasks. It returns a function for an orderly stop, which waits a little for the ring to run empty and
// notes the last sequence.
func (h *Host) begin() (drained func()) {
	b, crew := &h.background, h.crew
	crew.hosts.Add(1)
	h.archive = &archive{jobs: make(chan job, 2), odometer: newOdometer(newSnapshotRule(h.tickRate(), h.cfg.SnapshotEvery).within(h.owner.Tail().LimitBytes), h.recovered())}
	b.notes.epoch = h.owner.Epoch()
	b.archiving, b.noting, b.measuring = crew.task(h.store), crew.task(h.noteHigh), crew.task(h.measure)
	h.archive.wake = b.archiving.wake
	b.noting.after(crew.pace(highEvery, highShare))
	b.measuring.after(crew.pace(h.cfg.MeasureEvery, measureShare))
	if h.cfg.Deltas != nil {
		b.publishing = crew.task(h.publish)
		h.ring.onAdd(h.toPublish(b.publishing))
		b.publishing.wake() // recovery may have left something
	}
	return func() {
		if b.publishing != nil {
			b.publishing.wake()
		}
		drain, end := context.WithTimeout(h.hold, drainAtStop)
		for waiting, _ := h.ring.len(); waiting > 0 && drain.Err() == nil && h.cfg.Deltas != nil; waiting, _ = h.ring.len() {
			select {
			case <-drain.Done():
			case <-time.After(time.Millisecond):
			}
		}
		end()
		if errors.Is(h.reason, ErrEnded) {
			return // the owner has noted the seal
		}
		ctx, cancel := context.WithTimeout(h.hold, noteAtStop)
		defer cancel()
		if err := h.note(ctx, b.notes.epoch, h.mark.Load(), 0); err != nil {
			h.logger.Warn("cannot store the last sequence number", "error", err)
		}
	}
}

// end stops the tasks and waits for those that run. Whoever calls it has ended hold.
func (b *background) end(crew *Crew) {
	if b.noting == nil {
		return
	}
	for _, t := range []*task{b.publishing, b.noting, b.measuring, b.archiving} {
		if t != nil {
			t.stop()
		}
	}
	crew.hosts.Add(-1)
	*b = background{}
}

// toPublish returns what wakes the task that publishes. A room collects its deltas for a moment, since each batch is one message.
func (h *Host) toPublish(t *task) func() {
	if !h.cfg.Doze {
		return t.wake
	}
	return func() {
		if waiting, _ := h.ring.len(); waiting >= roomBatch/2 {
			t.wake()
			return
		}
		t.within(publishWait)
	}
}

// publish takes one batch out of the ring into the delta stream. On a conflict it reads how far the stream has come and skips
// those deltas: another owner of the same history publishes the same ones.
func (h *Host) publish() {
	p, ctx := &h.background.publisher, h.hold
	if ctx.Err() != nil {
		return
	}
	if !p.known {
		last, ok, err := h.lastDelta(ctx)
		if err != nil {
			h.slow("the delta stream cannot be read", err)
			return
		}
		if p.known = true; ok {
			h.ring.published(last)
		}
	}
	most := publishBatch
	if h.cfg.Doze {
		most = roomBatch
	}
	b := h.crew.batch()
	defer h.crew.giveBatch(b)
	*b = h.ring.oldest((*b)[:0], most)
	if len(*b) == 0 {
		return
	}
	err := h.cfg.Deltas.Publish(ctx, *b)
	switch {
	case err == nil:
		p.delay = 0
		h.ring.drop(len(*b))
		if h.doze.dozing.Load() {
			h.ring.shrink()
		}
		h.conditions.Clear(Degraded)
		h.background.publishing.wake() // for what has come meanwhile
	case errors.Is(err, persistence.ErrConflict):
		p.known = false
		h.slow("another node has published deltas", err)
	default:
		p.known = false // the stream may have part of the batch
		h.slow("the delta stream does not accept deltas; the shard continues", err)
	}
}

// slow logs why an attempt to publish failed, and makes the next one later each time.
func (h *Host) slow(what string, err error) {
	delay := &h.background.publisher.delay
	if h.hold.Err() != nil {
		return
	}
	if *delay = min(max(*delay*2, publishRetry), maxRetryDelay); *delay > publishRetry {
		h.logger.Warn(what, "error", err)
		h.raise(Degraded, false, fmt.Sprintf("%s (%v)", what, err))
	}
	h.background.publishing.after(*delay)
}

// noteHigh notes the last committed sequence in the coordination service, every second unless many hosts do, and takes back the note of this
// start's attempt as soon as its first tick is simulated. It never writes the same note again, and writes nothing while the
// log's disk accepts no writes: etcd may be on the same disk, and exits if it cannot write. The note of a room waits for those of
// others, and no goroutine waits for it.
func (h *Host) noteHigh() {
	n, ctx := &h.background.notes, h.hold
	if ctx.Err() != nil {
		return
	}
	notary, together := h.cfg.Ownership.(Notary)
	together = together && h.cfg.NoWait
	every := h.crew.pace(highEvery, highShare)
	if together {
		every = roomHighEvery
	}
	if n.answer != nil {
		select {
		case err := <-n.answer:
			n.answer = nil
			h.noted(ctx, n.asked, 0, err)
		default:
			return // something else woke the task: the answer will again
		}
		if !n.over {
			h.background.noting.after(every)
		}
		return
	}
	var lived persistence.Epoch // to be noted
	if !n.lived && h.simulated.Load() {
		lived = n.epoch
	}
	mark := h.mark.Load()
	switch {
	case mark == n.noted && lived == 0 || h.asked.unwritable():
	case together && lived == 0:
		t, answer := h.background.noting, make(chan error, 1)
		n.asked, n.answer = mark, answer
		notary.NoteSoon(persistence.Mark{Seq: persistence.Seq(mark), Epoch: n.epoch}, func(err error) {
			answer <- err
			t.wake()
		})
		return
	default:
		var high uint64 // of a room: others note it soon
		if !together {
			high = mark
		}
		if h.noted(ctx, max(n.noted, high), lived, h.note(ctx, n.epoch, high, lived)); n.over {
			return
		}
	}
	h.background.noting.after(every)
}

// noted handles the outcome of a note.
func (h *Host) noted(ctx context.Context, mark uint64, lived persistence.Epoch, err error) {
	n := &h.background.notes
	switch {
	case err == nil:
		n.noted, n.lived, n.failing = mark, n.lived || lived > 0, false
		h.conditions.Clear(AwaitsEtcd)
	case errors.Is(err, ErrFenced):
		n.over = true
		h.tell(ctx, Event{Kind: EventOvertaken, Err: err})
	case ctx.Err() == nil:
		if !n.failing { // once: the condition lasts
			h.logger.Warn("cannot store the last sequence number", "error", err)
		}
		n.failing = true
		h.raise(AwaitsEtcd, false, fmt.Sprintf("shard %s continues, but etcd does not accept its notes (%v)", h.cfg.Shard, err))
	}
}

// note writes a high-water mark, unless it is 0, and that the first tick was simulated, unless lived is 0.
func (h *Host) note(ctx context.Context, epoch persistence.Epoch, mark uint64, lived persistence.Epoch) error {
	n := Note{Lived: lived}
	if mark > 0 {
		n.High = persistence.Mark{Seq: persistence.Seq(mark), Epoch: epoch}
	}
	return h.cfg.Ownership.Note(ctx, n)
}

// tell sends the tick loop an event.
func (h *Host) tell(ctx context.Context, ev Event) {
	select {
	case h.inbox <- &ev:
	case <-ctx.Done():
	}
}

// archive is the path of snapshots into their store.
type archive struct {
	jobs chan job
	wake func()      // the task that takes the jobs
	busy atomic.Bool // a snapshot is being stored
	odometer
}

// recovered is the mileage of this host's recovery.
func (h *Host) recovered() Mileage {
	return Mileage{Ticks: h.sim.world.Tick() - h.owner.Proven().Tick, Bytes: h.sim.bytes, Work: time.Since(h.sim.began)}
}

// job is a snapshot to store, or a snapshot to purge behind.
type job struct {
	snapshot *persistence.Snapshot
	behind   persistence.SnapshotInfo
	below    persistence.Seq
}

// purge asks for a purge. If the queue is full, the next snapshot asks again.
func (a *archive) purge(behind persistence.SnapshotInfo, below persistence.Seq) {
	select {
	case a.jobs <- job{behind: behind, below: below}:
		a.wake()
	default:
	}
}

// snapshot copies the world, if one is due and the last one is stored. It runs on the tick goroutine, since the world must
// not change meanwhile; the archive encodes and stores.
func (h *Host) snapshot(seq persistence.Seq, epoch persistence.Epoch) {
	a, w := h.archive, h.sim.world
	if h.cfg.Snapshots == nil || a == nil || !a.due(w.Tick()) || a.busy.Load() {
		return
	}
	before := a.odometer
	a.attempt(w.Tick())
	if full := w.Recompute(); full != w.Checksum() {
		h.alarm(fmt.Errorf("shard: the checksum of tick %d is %016x, but recomputed it is %016x: a world that disagrees with itself gets no snapshot", w.Tick(), w.Checksum(), full))
		return
	}
	snap := &persistence.Snapshot{
		Lineage: h.cfg.Lineage, Cluster: h.cfg.Cluster, Shard: h.cfg.Shard, Seq: seq, Epoch: epoch, Tick: w.Tick(),
		Checksum: w.Checksum(), Chain: h.owner.Chain(), Schema: h.sim.Schema(), Body: w.AppendSnapshot(h.crew.buffer()),
	}
	a.busy.Store(true) // before the send: the archive may finish before the next line runs
	select {
	case a.jobs <- job{snapshot: snap}:
		a.wake()
	default:
		a.odometer = before // the queue is full; the next record tries again
		h.crew.giveBack(snap.Body)
		a.busy.Store(false)
	}
}

// prove restores a world from a snapshot that was read back from its store, and recomputes its checksum. Only a snapshot
// that a recovery could use counts and allows a purge. It runs beside the ticks and takes as long, and for a moment as much
// memory, as a recovery's first step.
func (h *Host) prove(s persistence.Snapshot) error {
	_, err := persistence.RestoreSnapshot(h.cfg.Game, &s)
	return err
}

// purge removes the records before a snapshot. The snapshot was proven at least one interval ago, when it was stored. It is
// the last resort if the newest one fails, so purge reads it again first.
func (h *Host) purge(ctx context.Context, behind persistence.SnapshotInfo, below persistence.Seq) error {
	if _, err := h.cfg.Snapshots.Get(ctx, behind); err != nil {
		return fmt.Errorf("the older of two proven snapshots can no longer be read: %w", err)
	}
	return h.cfg.Log.Purge(ctx, min(below, behind.Seq))
}

// store stores a snapshot, or purges the log behind one: the next job of the archive.
func (h *Host) store() {
	ctx := h.hold
	var j job
	select {
	case j = <-h.archive.jobs:
	default:
		return
	}
	defer h.background.archiving.wake() // for the next one
	if ctx.Err() != nil {
		return
	}
	if j.snapshot == nil {
		if err := h.purge(ctx, j.behind, j.below); err != nil && ctx.Err() == nil {
			h.logger.Warn("the log was not purged", "below", j.below, "error", err)
		}
		return
	}
	err := h.cfg.Snapshots.Put(ctx, *j.snapshot, h.prove)
	h.crew.giveBack(j.snapshot.Body)
	j.snapshot.Body = nil
	h.archive.busy.Store(false)
	switch {
	case errors.Is(err, persistence.ErrUnproven):
		h.alarm(fmt.Errorf("a snapshot of the running world is unusable: a recovery reads the log from the last proven one on, and nothing after that is purged: %w", err))
	case err != nil:
		if ctx.Err() == nil {
			h.logger.Warn("a snapshot was not stored", "snapshot", j.snapshot.Name(), "error", err)
		}
	default:
		h.mu.Lock()
		h.stats.Snapshots++
		h.mu.Unlock()
		h.tell(ctx, Event{Kind: EventStored, Snapshot: j.snapshot})
	}
}
