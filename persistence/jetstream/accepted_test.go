package jetstream

import (
	"errors"
	"testing"

	"github.com/ferris1/wind/persistence"
)

// TestAnAcceptedLossIsKnownInTheStore: a snapshot and a delta know of records that the log no longer has. After an
// operator has accepted the loss, neither the check before a start nor a check of a copy reports it as lost.
func TestAnAcceptedLossIsKnownInTheStore(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		dir := t.TempDir()
		server := startServer(t, ServerConfig{Dir: dir, Port: -1})
		s := createShard(t, connectTo(t, server))
		w := appendTicks(t, s, 20)
		ahead := snapshotOf(w)
		ahead.Seq, ahead.Tick = ahead.Seq+30, ahead.Tick+30
		if err := s.snapshots.Put(testContext(t), ahead, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.deltas.Publish(testContext(t), []persistence.Delta{deltaOf(40, 100)}); err != nil {
			t.Fatal(err)
		}
		if accepted {
			if err := s.log.NoteAccepted(testContext(t), []persistence.Mark{{Seq: 9, Epoch: 0}, {Seq: w.chain.Seq(), Epoch: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		server.Close()

		_, err := CheckStore(testContext(t), dir)
		if accepted && err != nil || !accepted && !errors.Is(err, persistence.ErrLost) {
			t.Errorf("accepted %v: the check before a start says %v", accepted, err)
		}
		held, err := OpenCopy(testContext(t), dir, CopyOptions{Cluster: "dev", Shard: "main"})
		if err != nil {
			t.Fatal(err)
		}
		stored, _, err := held.Open(testContext(t), "dev", "main")
		if err != nil {
			t.Fatal(err)
		}
		report, err := persistence.Check(testContext(t), stored.Source(), persistence.CheckOptions{})
		if err != nil || report.Broken() == accepted {
			t.Errorf("accepted %v: a check of the copy says %v, %v", accepted, report.Findings, err)
		}
		stored.Close()
		held.Close()
	}
}
