package persistence

import (
	"context"
	"fmt"
	"iter"
	"math"
)

// This file alone decides whether history was lost: a shard's owner, the check before a server opens a store, and the
// check and the replay of a log all use a History.

// Mark is a place in a log: a sequence, and the epoch of the owner that referred to it.
type Mark struct {
	Seq   Seq
	Epoch Epoch // 0 when unknown
}

// Evidence is something outside the log that proves that a record was in it.
type Evidence struct {
	What string // in words: "the delta stream"
	Mark        // the record that it refers to
	Tick uint64 // the tick that it refers to; 0 when unknown
}

// History is the evidence about a log from outside the log. The zero value has none. Gather the evidence before reading
// the log's end: deltas and snapshots are written after their records, so every record that they refer to by then must be
// in the log.
type History struct {
	// Accepted lists the losses that an operator accepted, oldest first. Each voids evidence above its sequence that is of
	// its epoch or an older one.
	Accepted []Mark
	Evidence []Evidence
}

// UnknownTick means that the last tick has not been read.
const UnknownTick = math.MaxUint64

// Knows adds evidence. It ignores a mark whose sequence is 0.
func (h *History) Knows(what string, m Mark, tick uint64) {
	if m.Seq > 0 {
		h.Evidence = append(h.Evidence, Evidence{What: what, Mark: m, Tick: tick})
	}
}

// KnowsHigh adds the high-water mark that an owner wrote to the coordination service.
func (h *History) KnowsHigh(m Mark) { h.Knows("the high-water mark", m, 0) }

// KnowsDelta adds the last message of the delta stream; nil adds nothing.
func (h *History) KnowsDelta(d *Delta) {
	if d == nil {
		return
	}
	tick := d.Tick
	if d.Gap != nil && d.Gap.Void() {
		tick = d.Gap.FromTick - 1
	}
	h.Knows("the delta stream", Mark{Seq: d.RecordSeq, Epoch: d.Epoch}, tick)
}

// KnowsSnapshots adds snapshots. It ignores damaged ones, which may belong to another lineage.
func (h *History) KnowsSnapshots(all []SnapshotInfo) {
	for i := range all {
		if s := &all[i]; s.Damaged == "" {
			h.Knows("snapshot "+s.Name, Mark{Seq: s.Seq, Epoch: s.Epoch}, s.Tick)
		}
	}
}

// Void reports whether an operator gave up the history that m refers to.
func (h *History) Void(m Mark) bool {
	for _, a := range h.Accepted {
		if m.Epoch > 0 && m.Epoch <= a.Epoch && m.Seq > a.Seq {
			return true
		}
	}
	return false
}

// Lost returns a *LostError if evidence goes beyond a log that ends with record last and tick lastTick (UnknownTick if not
// read), else nil. The error names the evidence that goes furthest. Lost ignores evidence of epoch own, which the caller
// wrote itself; own 0 ignores none. It depends only on h and its arguments.
func (h *History) Lost(last Seq, lastTick uint64, own Epoch) error {
	var most Evidence
	for _, e := range h.Evidence {
		if e.Seq <= last && e.Tick <= lastTick || own > 0 && e.Epoch == own || h.Void(e.Mark) {
			continue
		}
		if e.Seq > most.Seq || e.Seq == most.Seq && e.Tick > most.Tick {
			most = e
		}
	}
	if most.Seq == 0 {
		return nil
	}
	lost := &LostError{Last: last, Evidence: most.What, EvidenceSeq: most.Seq, EvidenceTick: most.Tick}
	if lastTick != UnknownTick {
		lost.LastTick = lastTick
	}
	return lost
}

// Replaced returns a *LostError if epoch, that of the record stored at m.Seq, differs from m.Epoch: the log was cut and has
// grown again to at least that length.
func (h *History) Replaced(m Mark, epoch Epoch) error {
	if epoch == m.Epoch || m.Seq == 0 || h.Void(m) {
		return nil
	}
	return &LostError{Last: m.Seq - 1, Evidence: "the high-water mark", EvidenceSeq: m.Seq, EvidenceEpoch: m.Epoch, Found: epoch}
}

// Valid filters out the deltas of ticks that an operator gave up, and the gap messages that declare them void. One history
// remains.
func (h *History) Valid(deltas iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		for d, err := range deltas {
			if err == nil && (d.Gap != nil && d.Gap.Void() || h.Void(Mark{Seq: d.RecordSeq, Epoch: d.Epoch})) {
				continue
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// history gathers evidence from the source's delta stream and snapshots. With an error it returns what else it found.
func (s *Source) history(ctx context.Context) (h History, err error) {
	h.Accepted = s.Accepted
	if s.Deltas != nil {
		d, ok, lastErr := s.Deltas.Last(ctx)
		if lastErr != nil {
			err = fmt.Errorf("persistence: cannot read the last delta: %w", lastErr)
		} else if ok {
			h.KnowsDelta(&d)
		}
	}
	if s.Snapshots != nil {
		all, listErr := s.Snapshots.List(ctx)
		if listErr != nil {
			return h, fmt.Errorf("persistence: cannot list the snapshots: %w", listErr)
		}
		h.KnowsSnapshots(all)
	}
	return h, err
}

// deltas reads the source's delta stream from a tick on, without the deltas that an operator gave up.
func (s *Source) deltas(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error] {
	h := History{Accepted: s.Accepted}
	return h.Valid(s.Deltas.Read(ctx, fromTick))
}

// snapshots lists the source's snapshots, newest first. It omits and counts those that an operator gave up.
func (s *Source) snapshots(ctx context.Context) (valid []SnapshotInfo, void int, err error) {
	all, err := s.Snapshots.List(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("persistence: cannot list the snapshots: %w", err)
	}
	h := History{Accepted: s.Accepted}
	for i := range all {
		if h.Void(Mark{Seq: all[i].Seq, Epoch: all[i].Epoch}) {
			void++
		} else {
			valid = append(valid, all[i])
		}
	}
	return valid, void, nil
}
