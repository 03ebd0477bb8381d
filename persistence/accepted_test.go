package persistence

import (
	"context"
	"maps"
	"path/filepath"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// lose runs n more ticks and takes a snapshot, then cuts the log back to its present end, like a disk that loses writes.
func (v *voyage) lose(n int) {
	v.t.Helper()
	w, err := ecs.Restore(drift(0), v.world.AppendSnapshot(nil))
	if err != nil {
		v.t.Fatal(err)
	}
	end, chain, seq := v.chain.Seq(), *v.chain, map[uint64]uint64{}
	maps.Copy(seq, v.seq)
	for range n {
		v.record(1)
	}
	v.shot()
	v.m.log = v.m.log[:end]
	v.world, v.chain, v.seq, v.sums = w, &chain, seq, v.sums[:w.Tick()+1]
}

// succeed begins an epoch on the rest of the log, as the next owner does, and declares the deltas of the lost ticks void.
func (v *voyage) succeed(epoch Epoch, lost int) {
	build := testBuild
	build.SchemaHash = v.world.Schema().Hash()
	v.append(&Record{Kind: KindEpoch, Epoch: epoch, EpochStart: &EpochStart{Node: "c", Build: build, From: v.world.Tick()}})
	tick := v.world.Tick()
	v.delta(Delta{Lineage: testLineage, Epoch: epoch, RecordSeq: v.chain.Seq(), Tick: tick + uint64(lost), Gap: &Gap{
		FromTick: tick + 1, ToTick: tick + uint64(lost), Reason: VoidReason,
	}})
}

// TestAnAcceptedLossIsNotBrokenForEver: history that an operator gave up is no longer evidence for check, replay or export,
// neither right after the loss nor once the ticks have been simulated again.
func TestAnAcceptedLossIsNotBrokenForEver(t *testing.T) {
	for name, again := range map[string]int{"right after it": 0, "before the lost ticks are simulated again": 5, "long after": 40} {
		t.Run(name, func(t *testing.T) {
			v := sail(t, 60)
			v.lose(12)
			accepted := Mark{Seq: v.chain.Seq(), Epoch: v.chain.Epoch()}
			v.succeed(9, 12)
			for range again {
				v.record(1)
			}
			src := v.source()
			src.Accepted = []Mark{accepted}
			r := checkWith(t, src, drift(0))
			if r.Broken() {
				t.Errorf("check: %v", r.Findings)
			}
			if r.LastTick != v.world.Tick() || r.Deltas != int(v.world.Tick()) {
				t.Errorf("check: proven up to tick %d of %d, %d deltas compared", r.LastTick, v.world.Tick(), r.Deltas)
			}
			for _, fromDeltas := range []bool{false, true} {
				p, _, err := replay(t, src, drift(0), ReplayOptions{Verify: true, FromDeltas: fromDeltas})
				if err != nil || p.Checksum != v.world.Checksum() {
					t.Errorf("replay, from deltas %v: %v, tick %d of %d", fromDeltas, err, p.To, v.world.Tick())
				}
			}
			path := filepath.Join(t.TempDir(), "log.wind")
			if sum, err := Export(context.Background(), path, src); err != nil || sum.Deltas != int(v.world.Tick()) || sum.Snapshots != 1 {
				t.Errorf("export: %v, %+v", err, sum)
				return
			}
			file, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if r := checkWith(t, file.Source(), drift(0)); r.Broken() {
				t.Errorf("check of the export: %v", r.Findings)
			}
		})
	}
}
