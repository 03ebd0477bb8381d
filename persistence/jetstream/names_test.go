package jetstream

import (
	"fmt"
	"testing"
)

func TestNamesOfPartitionsParse(t *testing.T) {
	r := Ref{"dev", "match-17", testLineage}
	k := partitionOf(r.Shard)
	for _, kind := range []string{"log", sealSuffix, "delta", ""} {
		subject := noteSubject(r, k)
		if kind != "" {
			subject = sharedSubject(r, k, kind)
		}
		got, gotKind, ok := parseSharedSubject(subject)
		if !ok || got != r || gotKind != kind {
			t.Errorf("%s parses as %v %q %v", subject, got, gotKind, ok)
		}
		if _, _, _, ok := parseLogSubject(subject); ok {
			t.Errorf("%s parses as a subject of a stream of its own", subject)
		}
	}
	for _, wrong := range []string{
		sharedSubject(r, (k+1)%partitions, "log"), logSubject(r.Cluster, r.Shard, r.Lineage), deltaSubject(r.Cluster, r.Shard, r.Lineage),
		"wind.dev.R8.match-17.x.log", "wind.dev.R10.match-17.x.log", "wind.dev.r1.match-17.x.log", "wind.dev.R.match-17.x.log", "wind.dev", "",
	} {
		if got, kind, ok := parseSharedSubject(wrong); ok {
			t.Errorf("%q parses as %v %q", wrong, got, kind)
		}
	}
	for k := range partitions {
		name := partitionStream("a-cluster", k)
		if cluster, got, ok := parsePartitionStream(name); !ok || cluster != "a-cluster" || got != k {
			t.Errorf("%s parses as %q %d %v", name, cluster, got, ok)
		}
		if _, _, ok := parseLogStream(name); ok {
			t.Errorf("%s parses as the log of one shard", name)
		}
		if _, _, ok := parsePartitionStream(partitionDeltaStream("a-cluster", k)); ok {
			t.Errorf("%s parses as a partition of logs", partitionDeltaStream("a-cluster", k))
		}
	}
	if headerSeq == headerBytes {
		t.Error("two headers of one name")
	}
	for _, wrong := range []string{logStream("dev", "main"), "WIND_dev_R8", "WIND_dev_R", "WIND_Dev_R1", "OBJ_WIND_dev_snapshots"} {
		if _, _, ok := parsePartitionStream(wrong); ok {
			t.Errorf("%q parses as a partition", wrong)
		}
	}
}

// TestPartitionsAreFilledEvenly: names as matchmakers make them.
func TestPartitionsAreFilledEvenly(t *testing.T) {
	for _, format := range []string{"match-%d", "room-%06d", "%x", "r%d-eu-west"} {
		var of [partitions]int
		for i := range 4000 {
			of[partitionOf(fmt.Sprintf(format, i))]++
		}
		for k, n := range of {
			if n < 350 || n > 650 {
				t.Errorf("%s: partition %d has %d of 4000: %v", format, k, n, of)
			}
		}
	}
	if k := partitionOf("match-17"); k != 2 {
		t.Errorf("the partition of match-17 is %d: the names of streams have changed", k)
	}
}
