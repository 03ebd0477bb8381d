package persistence

import (
	"context"
	"errors"
	"testing"
)

// living is the source of a shard that commits a tick and takes a snapshot after
// every answer, so that no two requests see the same end.
func living(v *voyage) Source {
	lives := func() {
		v.record(1)
		v.shot()
	}
	s := v.source()
	s.Log = livingLog{v.m.Log(), lives}
	s.Deltas = livingDeltas{s.Deltas, lives}
	s.Snapshots = livingSnapshots{s.Snapshots, lives}
	return s
}

type livingLog struct {
	*MemoryLog
	lives func()
}

func (l livingLog) Last(ctx context.Context) (Seq, error) {
	defer l.lives()
	return l.MemoryLog.Last(ctx)
}

func (l livingLog) Get(ctx context.Context, seq Seq) (Message, error) {
	defer l.lives()
	return l.MemoryLog.Get(ctx, seq)
}

type livingDeltas struct {
	DeltaReader
	lives func()
}

func (d livingDeltas) Last(ctx context.Context) (Delta, bool, error) {
	defer d.lives()
	return d.DeltaReader.Last(ctx)
}

type livingSnapshots struct {
	SnapshotReader
	lives func()
}

func (s livingSnapshots) List(ctx context.Context) ([]SnapshotInfo, error) {
	defer s.lives()
	return s.SnapshotReader.List(ctx)
}

func TestWhatIsCommittedWhileOneReadsIsNotLost(t *testing.T) {
	t.Run("check", func(t *testing.T) {
		v := sail(t, 60)
		r := checkWith(t, living(v), drift(0))
		finds(t, r)
		if r.LastTick < 60 || r.LastTick >= v.world.Tick() {
			t.Errorf("proven up to tick %d of %d", r.LastTick, v.world.Tick())
		}
	})
	for name, o := range map[string]ReplayOptions{"replay": {Verify: true}, "replay from deltas": {Verify: true, FromDeltas: true}} {
		t.Run(name, func(t *testing.T) {
			v := sail(t, 60)
			r, _, err := replay(t, living(v), drift(0), o)
			if err != nil || r.To < 60 || r.To >= v.world.Tick() {
				t.Errorf("%v, replayed up to tick %d of %d", err, r.To, v.world.Tick())
			}
		})
	}
}

// TestALossIsFoundWhileTheShardLives: the log was cut before the end of the delta
// stream and grows again during the check.
func TestALossIsFoundWhileTheShardLives(t *testing.T) {
	lost := func() Source {
		v := sail(t, 60)
		v.delta(Delta{Lineage: testLineage, Epoch: 4, RecordSeq: v.chain.Seq() + 9, Tick: 69, Checksum: 5})
		s := v.source()
		s.Log = livingLog{v.m.Log(), func() { v.record(1) }}
		return s
	}
	if r := checkWith(t, lost(), drift(0)); !r.Broken() {
		t.Error("check found nothing")
	}
	if _, _, err := replay(t, lost(), drift(0), ReplayOptions{Verify: true}); !errors.Is(err, ErrLost) {
		t.Error("replay:", err)
	}
}
