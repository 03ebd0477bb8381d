package persistence

import (
	"context"
	"fmt"
)

// snapshotCheck compares each snapshot with its record while the checker walks
// the log.
type snapshotCheck struct {
	c        *checker
	infos    []SnapshotInfo // not compared yet, oldest first
	verified []Seq          // of the snapshots that agree with the log
	void     int            // snapshots of history that an operator gave up
}

func newSnapshotCheck(ctx context.Context, c *checker) (*snapshotCheck, error) {
	s := &snapshotCheck{c: c}
	if c.src.Snapshots == nil {
		return s, nil
	}
	newest, void, err := c.src.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	s.void = void
	for i := len(newest) - 1; i >= 0; i-- {
		s.infos = append(s.infos, newest[i])
	}
	return s, nil
}

// record verifies the snapshots taken at the end of r.
func (s *snapshotCheck) record(ctx context.Context, r *Record, body []byte) {
	for len(s.infos) > 0 && s.infos[0].Seq <= r.Seq {
		info := s.infos[0]
		s.infos = s.infos[1:]
		if info.Seq == r.Seq {
			s.verify(ctx, info, r, body)
		} else {
			s.unproven(info)
		}
	}
}

func (s *snapshotCheck) verify(ctx context.Context, info SnapshotInfo, r *Record, body []byte) {
	c := s.c
	bad := func(err error) {
		c.find(Finding{Where: "snapshots", Seq: info.Seq, Tick: r.LastTick(), What: info.Name + ": " + err.Error()})
	}
	snap, err := c.src.Snapshots.Get(ctx, info)
	if err != nil {
		bad(err)
		return
	}
	if err := snap.Verify(r, body); err != nil {
		bad(err)
		return
	}
	if l := c.chain.Lineage(); l != "" && snap.Lineage != l {
		bad(fmt.Errorf("its lineage is %s, but the log's is %s", snap.Lineage, l))
		return
	}
	if r.Kind != KindTicks && c.world != nil && c.world.Checksum() != snap.Checksum {
		bad(fmt.Errorf("its checksum is %016x, but the world's is %016x", snap.Checksum, c.world.Checksum()))
		return
	}
	if c.o.Game != nil {
		w, err := RestoreSnapshot(*c.o.Game, &snap)
		switch {
		case c.faulted(err):
			return
		case Foreign(err):
			c.unproven(err)
		case err != nil:
			bad(err)
			return
		case c.world == nil: // re-simulation continues from here
			c.world, c.fit.have = w, w.Schema()
			c.fit.enter(snap.Schema, c.fit.build, snap.Epoch)
			c.fits()
		}
	}
	s.verified = append(s.verified, info.Seq)
	c.report.Snapshots++
}

// unproven reports a snapshot whose record is not in the log, unless it is merely
// older than the log's first record.
func (s *snapshotCheck) unproven(info SnapshotInfo) {
	if info.Seq < s.c.report.First {
		return
	}
	s.c.find(Finding{Where: "snapshots", Seq: info.Seq, Tick: info.Tick, What: info.Name + ": its record could not be read, so it is unproven"})
}

// rest reports, at the end of the log, snapshots whose record is missing and a log
// that was purged too far.
func (s *snapshotCheck) rest() {
	for _, info := range s.infos {
		if info.Seq > s.c.report.Last {
			s.c.find(Finding{
				Where: "snapshots", Invariant: "I9", Seq: info.Seq, Tick: info.Tick,
				What: fmt.Sprintf("%s belongs to a record that is not in the log, which ends at record %d", info.Name, s.c.report.Last),
			})
			continue
		}
		s.unproven(info)
	}
	if s.c.src.Snapshots != nil && s.c.report.First > 1 && len(s.verified) < 2 {
		s.c.find(Finding{
			Where: "log", Invariant: "I8", Seq: s.c.report.First, Tick: s.c.report.FirstTick,
			What: fmt.Sprintf("records before %d are purged and leave %d verified snapshots, but 2 are required", s.c.report.First, len(s.verified)),
		})
	}
}
