package jetstream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ferris1/wind/persistence"
)

// Names of streams, buckets and subjects; doc.go has the table.
const (
	streamPrefix   = "WIND_"
	deltaSuffix    = "_DELTA"
	snapshotSuffix = "_snapshots"
	objectPrefix   = "OBJ_"  // JetStream's prefix to a bucket's name
	subjectPrefix  = "wind." // of everything that shards publish
)

func logStream(cluster, shard string) string   { return streamPrefix + cluster + "_" + shard }
func deltaStream(cluster, shard string) string { return logStream(cluster, shard) + deltaSuffix }
func snapshotBucket(cluster string) string     { return streamPrefix + cluster + snapshotSuffix }

func logSubject(cluster, shard, lineage string) string {
	return subjectPrefix + cluster + "." + shard + "." + lineage + ".log"
}

func deltaSubject(cluster, shard, lineage string) string {
	return subjectPrefix + cluster + "." + shard + "." + lineage + ".delta"
}

// parseLogSubject is the inverse of logSubject.
func parseLogSubject(subject string) (cluster, shard, lineage string, ok bool) {
	p := strings.Split(subject, ".")
	if len(p) != 5 || p[0] != "wind" || p[4] != "log" {
		return "", "", "", false
	}
	return p[1], p[2], p[3], true
}

// parseLogStream is the inverse of logStream. It returns false for any other stream.
func parseLogStream(name string) (cluster, shard string, ok bool) {
	rest, ok := strings.CutPrefix(name, streamPrefix)
	if !ok {
		return "", "", false
	}
	cluster, shard, ok = strings.Cut(rest, "_")
	ok = ok && persistence.ValidShardName(cluster) == nil && persistence.ValidShardName(shard) == nil
	return cluster, shard, ok
}

// checkNames refuses names that would make a stream's name or subject ambiguous.
func checkNames(cluster, shard string) error {
	if err := persistence.ValidShardName(cluster); err != nil {
		return fmt.Errorf("jetstream: cluster: %w", err)
	}
	if err := persistence.ValidShardName(shard); err != nil {
		return fmt.Errorf("jetstream: shard: %w", err)
	}
	return nil
}

// checkLineage refuses a lineage that is not one token of a subject.
func checkLineage(lineage string) error {
	if lineage == "" || strings.ContainsAny(lineage, ".*> \t\r\n") {
		return errors.New("jetstream: lineage " + fmt.Sprintf("%q", lineage) + " cannot be part of a subject: use a UUID")
	}
	return nil
}
