package persistence

import (
	"context"
	"fmt"
)

// Evidence is something outside the log that knows of a sequence in it.
type Evidence struct {
	What string // in words: "the delta stream"
	Seq  Seq
	Tick uint64 // 0 when it knows none
}

// LostHistory compares the end of a log with what is known of it. It returns a
// *LostError about the evidence that knows most when the log ends before it,
// else nil. It depends only on its arguments.
func LostHistory(last Seq, lastTick uint64, known ...Evidence) error {
	var worst Evidence
	for _, e := range known {
		if e.Seq > worst.Seq || (e.Seq == worst.Seq && e.Tick > worst.Tick) {
			worst = e
		}
	}
	if worst.Seq <= last && worst.Tick <= lastTick {
		return nil
	}
	return &LostError{Last: last, LastTick: lastTick, Evidence: worst.What, EvidenceSeq: worst.Seq, EvidenceTick: worst.Tick}
}

// GatherEvidence asks the delta stream and the snapshots, either of which may be
// nil, what they know of the log. high is etcd's high-water mark, 0 for none.
// While a shard lives, ask before the log's end is asked for: deltas and
// snapshots follow their records, so that what they know of then is in the log.
func GatherEvidence(ctx context.Context, deltas DeltaReader, snapshots SnapshotReader, high Seq) ([]Evidence, error) {
	var known []Evidence
	if high > 0 {
		known = append(known, Evidence{What: "the high-water mark", Seq: high})
	}
	if deltas != nil {
		d, ok, err := deltas.Last(ctx)
		if err != nil {
			return nil, fmt.Errorf("persistence: last delta: %w", err)
		}
		if ok {
			known = append(known, Evidence{What: "the delta stream", Seq: d.RecordSeq, Tick: d.Tick})
		}
	}
	if snapshots != nil {
		all, err := snapshots.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("persistence: list of snapshots: %w", err)
		}
		for _, info := range all {
			if info.Damaged == "" { // else it may be of another lineage
				known = append(known, Evidence{What: "snapshot " + info.Name, Seq: info.Seq, Tick: info.Tick})
				break
			}
		}
	}
	return known, nil
}
