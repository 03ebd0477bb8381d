package shard

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestARecoveredHostKeepsNothingOfItsRecovery: neither an open reading of the log or the deltas, nor evidence, records and schemas. Of
// thousands of rooms that a node has taken over, each would keep its own.
func TestARecoveredHostKeepsNothingOfItsRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.SnapshotEvery, c.Deltas = 30, nil })
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		h, p, _ := b.host("b", nil)
		looked := false
		p.latch = func(uint64) {
			o := h.owner
			switch looked = true; {
			case h.records.stop != nil || h.deltas.stop != nil:
				t.Error("a reading is open")
			case o.evidence.snapshots != nil || o.rec.body != nil || o.rec.proof != nil || o.recorded.Schema != nil:
				t.Error("the evidence is kept")
			case &o.schema[0] != &h.sim.Schema()[0]:
				t.Error("the schema is kept twice")
			}
		}
		if err := b.run(h, time.Second); err != nil || !looked {
			t.Fatal(looked, err)
		}
		b.check(walk(0))
	})
}
