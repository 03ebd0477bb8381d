package persistence

import (
	"context"
	"fmt"
	"iter"
	"math"
)

// This file is the rule of lost history, the only one: a shard's owner, the check before a server opens a store, and the
// check and the replay of a log all ask a History.

// Mark is a place in a log: a sequence, and the generation of ownership that spoke of it.
type Mark struct {
	Seq   Seq
	Epoch Epoch // 0 when it is not known
}

// Evidence is something outside the log that knows of a record in it.
type Evidence struct {
	What string // in words: "the delta stream"
	Mark        // the record that it knows of
	Tick uint64 // the tick that it knows of; 0 when it knows none
}

// History is what is known of a log beside the log itself. The zero value knows nothing. Gather the evidence before the
// log's end is asked for: deltas and snapshots follow their records, so what they know of by then is in the log.
type History struct {
	// Accepted lists the losses that an operator accepted, oldest first: evidence of that epoch or an older one that lies
	// above the sequence is void.
	Accepted []Mark
	Evidence []Evidence
}

// UnknownTick stands for a last tick that nobody has read.
const UnknownTick = math.MaxUint64

// Knows adds evidence. A mark without a sequence is none.
func (h *History) Knows(what string, m Mark, tick uint64) {
	if m.Seq > 0 {
		h.Evidence = append(h.Evidence, Evidence{What: what, Mark: m, Tick: tick})
	}
}

// KnowsHigh adds the high-water mark that an owner noted in the coordination service.
func (h *History) KnowsHigh(m Mark) { h.Knows("the high-water mark", m, 0) }

// KnowsDelta adds the last message of the delta stream, nil when there is none.
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

// KnowsSnapshots adds snapshots. A damaged one says nothing: it may be of another lineage.
func (h *History) KnowsSnapshots(all []SnapshotInfo) {
	for i := range all {
		if s := &all[i]; s.Damaged == "" {
			h.Knows("snapshot "+s.Name, Mark{Seq: s.Seq, Epoch: s.Epoch}, s.Tick)
		}
	}
}

// Void reports whether an operator gave up the history that m speaks of.
func (h *History) Void(m Mark) bool {
	for _, a := range h.Accepted {
		if m.Epoch > 0 && m.Epoch <= a.Epoch && m.Seq > a.Seq {
			return true
		}
	}
	return false
}

// Lost returns a *LostError about the evidence that knows most when a log that ends with record last and tick lastTick
// (UnknownTick when it has not been read) lacks what is known, else nil. What an owner of epoch own noted itself does not
// count; 0 counts everything. It depends only on its arguments.
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

// Replaced returns a *LostError when the record at m is of another epoch than m: the log was cut and has grown again, so
// that it is long enough.
func (h *History) Replaced(m Mark, epoch Epoch) error {
	if epoch == m.Epoch || m.Seq == 0 || h.Void(m) {
		return nil
	}
	return &LostError{Last: m.Seq - 1, Evidence: "the high-water mark", EvidenceSeq: m.Seq, EvidenceEpoch: m.Epoch, Found: epoch}
}

// Valid leaves out the deltas that an operator gave up with their ticks, and the gap messages that declare it: what is left
// is one history.
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

// history asks the source's delta stream and snapshots what they know of its log. On an error it returns what the others know.
func (s *Source) history(ctx context.Context) (h History, err error) {
	h.Accepted = s.Accepted
	if s.Deltas != nil {
		d, ok, lastErr := s.Deltas.Last(ctx)
		if lastErr != nil {
			err = fmt.Errorf("persistence: last delta: %w", lastErr)
		} else if ok {
			h.KnowsDelta(&d)
		}
	}
	if s.Snapshots != nil {
		all, listErr := s.Snapshots.List(ctx)
		if listErr != nil {
			return h, fmt.Errorf("persistence: list of snapshots: %w", listErr)
		}
		h.KnowsSnapshots(all)
	}
	return h, err
}

// deltas reads the source's delta stream from a tick on, without what an operator gave up.
func (s *Source) deltas(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error] {
	h := History{Accepted: s.Accepted}
	return h.Valid(s.Deltas.Read(ctx, fromTick))
}

// snapshots lists the source's snapshots, newest first, without those that an operator gave up.
func (s *Source) snapshots(ctx context.Context) (valid []SnapshotInfo, void int, err error) {
	all, err := s.Snapshots.List(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("persistence: list of snapshots: %w", err)
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
