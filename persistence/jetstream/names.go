package jetstream

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
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

// Partitions are streams that rooms share: eight for their logs in each cluster, and eight for their deltas.
const (
	partitions      = 8
	partitionPrefix = "R" // upper case, so that no shard has the name of a partition
	sealSuffix      = "seal"
)

// Headers of the messages in a partition, besides those of package persistence.
const (
	// headerSeq is the message's number among the records, or the delta messages, of its shard: 1, 2, 3, …
	headerSeq = "Wind-Seq"
	// headerBytes counts what the shard's records, or its delta messages, took in the files up to and including this
	// message, deleted ones too.
	headerBytes = "Wind-Bytes"
)

// partitionOf returns the partition of a shard's log and deltas: CRC-32 (IEEE) of its name, modulo 8.
func partitionOf(shard string) int { return int(crc32.ChecksumIEEE([]byte(shard)) % partitions) }

func partitionStream(cluster string, k int) string {
	return streamPrefix + cluster + "_" + partitionPrefix + strconv.Itoa(k)
}

func partitionDeltaStream(cluster string, k int) string {
	return partitionStream(cluster, k) + deltaSuffix
}

// parsePartitionStream is the inverse of partitionStream. It returns false for any other stream.
func parsePartitionStream(name string) (cluster string, k int, ok bool) {
	rest, ok := strings.CutPrefix(name, streamPrefix)
	if !ok {
		return "", 0, false
	}
	cluster, partition, ok := strings.Cut(rest, "_")
	if !ok || persistence.ValidShardName(cluster) != nil {
		return "", 0, false
	}
	k, ok = parsePartition(partition)
	return cluster, k, ok
}

// parsePartition parses "R0" to "R7".
func parsePartition(s string) (k int, ok bool) {
	digit, ok := strings.CutPrefix(s, partitionPrefix)
	if !ok || len(digit) != 1 || digit[0] < '0' || digit[0] >= '0'+partitions {
		return 0, false
	}
	return int(digit[0] - '0'), true
}

// sharedSubject is the subject of a message in a partition; kind is "log", "seal" or "delta". Any of shard, lineage and
// kind may be a wildcard, but if shard is one, the partition is k.
func sharedSubject(r Ref, k int, kind string) string {
	return noteSubject(r, k) + "." + kind
}

// noteSubject is the subject of what is noted about a shard's log: where it may begin, and which losses were accepted.
// The last message counts. sharedSubject(…, ">") does not match it.
func noteSubject(r Ref, k int) string {
	return subjectPrefix + r.Cluster + "." + partitionPrefix + strconv.Itoa(k) + "." + r.Shard + "." + r.Lineage
}

// parseSharedSubject is the inverse of sharedSubject and, with the kind "", of noteSubject.
func parseSharedSubject(subject string) (r Ref, kind string, ok bool) {
	p := strings.Split(subject, ".")
	if len(p) < 5 || len(p) > 6 || p[0] != "wind" {
		return Ref{}, "", false
	}
	k, ok := parsePartition(p[2])
	if !ok || k != partitionOf(p[3]) {
		return Ref{}, "", false
	}
	if len(p) == 6 {
		kind = p[5]
	}
	return Ref{Cluster: p[1], Shard: p[3], Lineage: p[4]}, kind, true
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
