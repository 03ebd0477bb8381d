package shard

import (
	"bytes"

	"github.com/ferris1/wind/persistence"
)

// This file is what the simulation checks: the invariants of OWNERSHIP.md.

// checkRelease checks I1 and I2 at the moment of a release: the record is in the log, and no node ever released another record
// for its ticks.
func (s *sim) checkRelease(n *simNode, seq persistence.Seq, hash persistence.Hash, ticks []persistence.TickRecord) {
	m, err := s.get(seq)
	switch {
	case s.lost > 0 && len(s.coord.Accepted) == 0:
		return // committed and then lost before the acknowledgement came: the disk's fault
	case err != nil:
		s.fail("I1", "node %s released record %d, the log ends at %d", n.id, seq, len(s.log))
	case persistence.HashOf(m.Body) != hash:
		s.fail("I1", "node %s released record %d, another one stands there", n.id, seq)
	}
	if old, ok := s.released[seq]; ok && old != hash {
		s.fail("I1", "record %d was released twice, with different bytes", seq)
	}
	s.released[seq] = hash
	for _, t := range ticks {
		if old, ok := s.ticks[t.Tick]; ok && old != hash {
			s.fail("I2", "tick %d was released twice, with different records", t.Tick)
		}
		s.ticks[t.Tick] = hash
	}
	if n.fenced {
		s.fail("I7", "node %s released record %d after it had seen that it was fenced", n.id, seq)
	}
	if expiry := s.coord.leases[n.owner.lease.ID]; s.now >= expiry {
		s.fail("lease", "node %s released record %d at %s, its lease ended at %s", n.id, seq, s.now, expiry)
	}
}

// claim is the coordination service's claim. A node whose build cannot carry the recorded schema over must not claim.
func (s *sim) claim(w *simWorld, b Bid) bool {
	granted := s.coord.claim(s.now, b)
	s.checkSchema(w, granted, "claims the shard")
	return granted
}

// checkSchema checks that a node with another schema than the log's first record leaves no trace. A log that was cut proves
// nothing: the records that the node saw are gone.
func (s *sim) checkSchema(w *simWorld, did bool, what string) {
	if !did || len(s.log) == 0 || s.losses > 0 {
		return
	}
	r, err := persistence.DecodeRecord(s.log[0].Body)
	if err == nil && !bytes.Equal(r.Genesis.Schema, w.schema) {
		s.fail("schema", "node %s %s, and its build has another schema", w.node.id, what)
	}
}

// checkLog checks I1 (at the end), I3 and I4 over the whole log, and compares the delta stream with it.
func (s *sim) checkLog() {
	chain := persistence.NewChain(simLineage)
	sums := map[uint64]uint64{}
	replay := &simWorld{}
	for i, m := range s.log {
		r, err := chain.Next(m)
		if err != nil {
			s.fail("I4", "%v", err) // epochs that do not rise (I3) are in here too
			return
		}
		for _, t := range r.Ticks {
			sums[t.Tick] = t.Checksum
			if replay.step(t.Frame, false); replay.sum != t.Checksum {
				s.fail("I5", "tick %d of record %d replays to %x, recorded is %x", t.Tick, r.Seq, replay.sum, t.Checksum)
				return
			}
		}
		if want, ok := s.released[persistence.Seq(i+1)]; ok && want != chain.Hash() {
			s.fail("I1", "record %d was released and is another one now", i+1)
		}
	}
	for seq := range s.released {
		if int(seq) > len(s.log) {
			s.fail("I1", "record %d was released, the log ends at %d", seq, len(s.log))
		}
	}
	if s.losses > 0 || s.part.removed {
		return // the stream tells of the lost ticks too, or is gone
	}
	next := uint64(1)
	for _, d := range s.deltas {
		if d.FirstTick() != next {
			s.fail("deltas", "tick %d follows tick %d without a gap message", d.FirstTick(), next-1)
		}
		if want, ok := sums[d.Tick]; d.Gap == nil && (!ok || want != d.Checksum) {
			s.fail("deltas", "tick %d has checksum %x, the log says %x", d.Tick, d.Checksum, want)
		}
		next = d.Tick + 1
	}
	if s.first > 1 && len(s.snaps) == 0 {
		s.fail("I8", "the log begins at %d and there is no snapshot", s.first)
	}
}
