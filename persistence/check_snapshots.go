package persistence

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// snapshotCheck compares each snapshot with its record while the checker walks
// the log.
type snapshotCheck struct {
	c        *checker
	infos    []SnapshotInfo // not compared yet, oldest first
	verified []Seq          // of the snapshots that agree with the log
	failed   int            // the first finding that a snapshot in the log's range is not sound
	unsound  int            // such snapshots
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
		s.fail(info, r.LastTick(), err)
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
		s.unsound++
		i := c.strange(Finding{Where: "snapshots", Seq: info.Seq, Tick: r.LastTick(), What: info.Name + ": "}, snap.Lineage)
		if s.unsound == 1 {
			s.failed = i
		}
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
			c.resumed()
			c.world, c.fit.have = w, w.Schema()
			c.fit.enter(snap.Schema, c.fit.build, snap.Epoch)
			c.fits()
		}
	}
	s.verified = append(s.verified, info.Seq)
	c.rooted = true
	c.report.Snapshots++
}

// fail reports a snapshot that is not sound. If its record was found damaged, that is why.
func (s *snapshotCheck) fail(info SnapshotInfo, tick uint64, err error) {
	s.unsound++
	what := bare(err)
	if !strings.HasPrefix(what, info.Name) {
		what = info.Name + ": " + what
	}
	i := s.c.about(info.Seq)
	if i >= 0 && s.c.report.Findings[i].Where == "log" && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		s.c.follow(i, "snapshot "+what)
	} else {
		i = s.c.find(Finding{Where: "snapshots", Seq: info.Seq, Tick: tick, What: what})
	}
	if s.unsound == 1 {
		s.failed = i
	}
}

// unproven reports a snapshot whose record is not in the log, unless it is merely
// older than the log's first record.
func (s *snapshotCheck) unproven(info SnapshotInfo) {
	if info.Seq < s.c.report.First {
		return
	}
	if b := s.c.breachOf(info.Seq); b != nil {
		b.snapshots = append(b.snapshots, info.Name)
		if s.unsound++; s.unsound == 1 {
			s.failed = b.finding
		}
		return
	}
	s.fail(info, info.Tick, errors.New("its record could not be read, so it is unproven"))
}

// rest reports, at the end of the log, snapshots whose record is missing and a log
// that was purged too far.
func (s *snapshotCheck) rest() {
	c := s.c
	for _, info := range s.infos {
		switch {
		case info.Seq <= c.report.Last:
			s.unproven(info)
		case c.loss != nil:
			c.follow(*c.loss, fmt.Sprintf("snapshot %s belongs to record %d", info.Name, info.Seq))
		default:
			c.find(Finding{
				Where: "snapshots", Invariant: "I9", Seq: info.Seq, Tick: info.Tick,
				What: fmt.Sprintf("%s belongs to a record that is not in the log, which ends at record %d", info.Name, c.report.Last),
			})
		}
	}
	removed := c.chain.Sealed() && c.report.First == c.report.Last // a room, but for its seal
	if c.src.Snapshots == nil || c.report.First <= 1 || len(s.verified) >= 2 || removed {
		return
	}
	what := fmt.Sprintf("records before %d are purged and leave %s, but 2 are required", c.report.First, verifiedSnapshots(len(s.verified)))
	if s.unsound > 0 && len(s.verified)+s.unsound >= 2 {
		c.follow(s.failed, what)
		return
	}
	c.find(Finding{Where: "log", Invariant: "I8", Seq: c.report.First, Tick: c.report.FirstTick, What: what})
}

func verifiedSnapshots(n int) string {
	if n == 1 {
		return "1 verified snapshot"
	}
	return fmt.Sprintf("%d verified snapshots", n)
}
