package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// Purged is what a purge removed from a log, or would have removed.
type Purged struct {
	First     persistence.Seq            `json:"first_seq"` // of the log, before the purge
	Last      persistence.Seq            `json:"last_seq"`
	Below     persistence.Seq            `json:"below"`     // records below this one are removed
	Records   uint64                     `json:"records"`   // number of records removed
	Snapshots []persistence.SnapshotInfo `json:"snapshots"` // the two that replace them, newest first
	Skipped   []string                   `json:"skipped"`   // snapshots that do not count, each with the reason
	UsedBytes int64                      `json:"used_bytes"`
	Limit     int64                      `json:"limit_bytes"`
	DryRun    bool                       `json:"dry_run"`
}

// ErrNotProven means that a log was not purged because a recovery could not use two of its snapshots.
var ErrNotProven = errors.New("shard: fewer than two snapshots are proven")

// PurgeBehind removes the records before the older of the two newest proven snapshots. A proven snapshot can be read, fits
// its record in the log, and restores to a world with its checksum. With dry it only reports what it would remove. It needs
// no ownership, since no recovery needs those records.
func PurgeBehind(ctx context.Context, game ecs.Game, log persistence.LogWriter, snapshots persistence.SnapshotWriter, dry bool) (Purged, error) {
	p := Purged{DryRun: dry}
	if err := p.measure(ctx, log); err != nil {
		return p, err
	}
	all, err := snapshots.List(ctx)
	if err != nil && !errors.Is(err, persistence.ErrNotFound) {
		return p, err
	}
	for _, info := range all {
		if len(p.Snapshots) == 2 {
			break
		}
		if err := proven(ctx, game, log, snapshots, info); err != nil {
			if ctx.Err() != nil {
				return p, err
			}
			p.Skipped = append(p.Skipped, fmt.Sprintf("%s: %v", info.Name, err))
			continue
		}
		p.Snapshots = append(p.Snapshots, info)
	}
	if len(p.Snapshots) < 2 {
		return p, p.notProven(len(all))
	}
	p.Below = p.Snapshots[1].Seq
	if p.First > 0 && p.Below > p.First {
		p.Records = uint64(p.Below - p.First)
	}
	if dry || p.Records == 0 {
		return p, nil
	}
	if err := log.Purge(ctx, p.Below); err != nil {
		return p, err
	}
	return p, nil
}

// notProven returns an ErrNotProven that says how many stored snapshots can be used, and why the others cannot.
func (p *Purged) notProven(stored int) error {
	why := ""
	if len(p.Skipped) > 0 {
		why = fmt.Sprintf(" (%s)", strings.Join(p.Skipped, "; "))
	}
	return fmt.Errorf("%w: %d of %d stored can be used%s: let the shard run until it has two, or give the log more room with --log-bytes", ErrNotProven, len(p.Snapshots), stored, why)
}

// measure reads the log's size and limits before a purge.
func (p *Purged) measure(ctx context.Context, log persistence.LogWriter) (err error) {
	e, err := log.Extent(ctx)
	p.First, p.Last, p.UsedBytes, p.Limit = e.First, e.Last, e.Used, e.Limit
	return err
}

// proven returns nil if a recovery could begin with the snapshot, otherwise the reason why not.
func proven(ctx context.Context, game ecs.Game, log persistence.LogReader, snapshots persistence.SnapshotReader, info persistence.SnapshotInfo) error {
	s, err := snapshots.Get(ctx, info)
	if err != nil {
		return err
	}
	m, err := log.Get(ctx, info.Seq)
	if err != nil {
		return err
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil {
		return err
	}
	if err := s.Verify(r, m.Body); err != nil {
		return err
	}
	_, err = persistence.RestoreSnapshot(game, &s)
	return err
}

// PurgeUnserved is like PurgeBehind, but for a shard that no node serves, so that no owner has checked its log for lost
// history. It removes nothing if an operator must look first: if the shard is halted (ErrHalted) or its log lost history
// (persistence.ErrLost). The caller must have read the standing before.
func PurgeUnserved(ctx context.Context, game ecs.Game, name string, st Standing, log persistence.LogWriter, deltas persistence.DeltaReader, snapshots persistence.SnapshotWriter, dry bool) (Purged, error) {
	if st.Halted != "" {
		return Purged{}, fmt.Errorf("%w: %s: %s", ErrHalted, st.Halted, WayOut(HaltedBy(st.Halted), name))
	}
	if err := intact(ctx, &st, log, deltas, snapshots); errors.Is(err, persistence.ErrLost) {
		return Purged{}, fmt.Errorf("%w: %s", err, WayOut(HistoryLost, name))
	} else if err != nil {
		return Purged{}, err
	}
	return PurgeBehind(ctx, game, log, snapshots, dry)
}

// intact checks a log for lost history, as a claim does: it reads the evidence before the log's end.
func intact(ctx context.Context, st *Standing, log persistence.LogReader, deltas persistence.DeltaReader, snapshots persistence.SnapshotReader) error {
	var e evidence
	switch d, ok, err := deltas.Last(ctx); {
	case ok:
		e.delta = &d
	case err != nil && !lasting(err):
		return err
	}
	var err error
	if e.snapshots, err = snapshots.List(ctx); err != nil && !errors.Is(err, persistence.ErrNotFound) {
		return err
	}
	last, err := log.Last(ctx)
	if err != nil {
		return err
	}
	known := e.history(st)
	if err := known.Lost(last, persistence.UnknownTick, 0); err != nil {
		return err
	}
	if st.High.Seq == 0 || st.High.Seq > last {
		return nil
	}
	m, err := log.Get(ctx, st.High.Seq)
	switch {
	case err == nil:
		return known.Replaced(st.High, m.Header.Epoch)
	case lasting(err): // purged or damaged: a recovery will find out
		return nil
	}
	return err
}

// PurgeLog is like PurgeBehind, but for the host's own log. Any goroutine may call it. It does not wait for a tick: a full
// log may be the reason that no tick comes.
func (h *Host) PurgeLog(ctx context.Context, dry bool) (Purged, error) {
	if h.cfg.Snapshots == nil {
		return Purged{}, fmt.Errorf("%w: the shard has no snapshot store", ErrNotProven)
	}
	return PurgeBehind(ctx, h.cfg.Game, h.cfg.Log, h.cfg.Snapshots, dry)
}
