package shard

import (
	"context"
	"iter"

	"github.com/ferris1/wind/persistence"
)

func (s *sim) listSnapshots() []persistence.SnapshotInfo {
	var all []persistence.SnapshotInfo
	for _, snap := range s.snaps {
		all = append(all, snap.Info())
	}
	persistence.SortSnapshots(all)
	return all
}

// simLog and simSnapshots are the stores as package persistence reads them.
type (
	simLog       struct{ *sim }
	simSnapshots struct{ *sim }
)

func (l simLog) First(context.Context) (persistence.Seq, error) {
	return min(l.first, persistence.Seq(len(l.log))), nil
}

func (l simLog) Last(context.Context) (persistence.Seq, error) {
	return persistence.Seq(len(l.log)), nil
}

func (l simLog) Get(_ context.Context, seq persistence.Seq) (persistence.Message, error) {
	return l.get(seq)
}

func (l simLog) Read(context.Context, persistence.Seq, persistence.Seq) iter.Seq2[persistence.Message, error] {
	panic("nobody reads the simulated log in order through this")
}

func (l simSnapshots) List(context.Context) ([]persistence.SnapshotInfo, error) {
	return l.listSnapshots(), nil
}

func (l simSnapshots) Get(_ context.Context, info persistence.SnapshotInfo) (persistence.Snapshot, error) {
	s, err := l.load(info)
	if err != nil {
		return persistence.Snapshot{}, err
	}
	return *s, nil
}

func (s *sim) load(info persistence.SnapshotInfo) (*persistence.Snapshot, error) {
	if info.Name == s.mute {
		return nil, errTimeout
	}
	for _, snap := range s.snaps {
		if snap.Name() == info.Name {
			return &snap, nil
		}
	}
	return nil, persistence.ErrNotFound
}

// silence makes the store ignore requests for its newest snapshot, and restarts all nodes.
func (s *sim) silence() {
	if all := s.listSnapshots(); len(all) > 0 {
		s.mute = all[0].Name
	}
	for _, n := range s.nodes {
		n.crash()
	}
}

// checkLoad checks every request of a node: none requests one snapshot more often in a row than the limit, since another
// would do.
func (s *sim) checkLoad(n *simNode, a *Action) {
	switch {
	case a.Op == 0:
	case a.Kind != ActionLoad || a.Info.Name != n.loading:
		n.loads, n.loading = 1, a.Info.Name
	default:
		if n.loads++; n.loads > n.owner.cfg.LoadTries {
			s.fail("load", "node %s asks for snapshot %s for the %dth time", n.id, a.Info.Name, n.loads)
		}
	}
}
