package persistence

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// Snapshot is a whole saved world at the end of a record.
type Snapshot struct {
	Lineage  string
	Cluster  string
	Shard    string
	Seq      Seq    // of the record after which it was taken
	Epoch    Epoch  // of that record
	Tick     uint64 // last tick of that record
	Checksum uint64 // of the world after Tick
	Chain    Hash   // hash of that record's body: the next record's Prev
	Schema   []byte // JSON of ecs.Schema
	Body     []byte // ecs.World.AppendSnapshot
}

// SnapshotInfo is what a store knows about a snapshot without reading it.
type SnapshotInfo struct {
	Name     string // as Snapshot.Name
	Shard    string
	Epoch    Epoch
	Seq      Seq
	Checksum uint64
	Tick     uint64 // 0 if the store does not know
	Size     int64  // encoded bytes; 0 if the store does not know
	Damaged  string // why it cannot be read, if listing shows that; then only its name is known, not even its lineage
}

// Name returns the name of the snapshot in a store:
// "<shard>/<epoch>-<seq>-<checksum>", with decimal numbers and the checksum in 16
// hexadecimal digits. The content under a name never changes.
func (s *Snapshot) Name() string {
	return fmt.Sprintf("%s/%d-%d-%016x", s.Shard, s.Epoch, s.Seq, s.Checksum)
}

// Info returns what a store lists for s, without a size.
func (s *Snapshot) Info() SnapshotInfo {
	return SnapshotInfo{Name: s.Name(), Shard: s.Shard, Epoch: s.Epoch, Seq: s.Seq, Checksum: s.Checksum, Tick: s.Tick}
}

// ParseSnapshotName is the inverse of Name. It leaves Tick and Size 0.
func ParseSnapshotName(name string) (SnapshotInfo, error) {
	bad := fmt.Errorf("persistence: %q is not the name of a snapshot", name)
	shard, rest, ok := strings.Cut(name, "/")
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 3 || ValidShardName(shard) != nil {
		return SnapshotInfo{}, bad
	}
	epoch, err1 := strconv.ParseUint(parts[0], 10, 64)
	seq, err2 := strconv.ParseUint(parts[1], 10, 64)
	sum, err3 := strconv.ParseUint(parts[2], 16, 64)
	info := SnapshotInfo{Name: name, Shard: shard, Epoch: Epoch(epoch), Seq: Seq(seq), Checksum: sum}
	if err1 != nil || err2 != nil || err3 != nil || (&Snapshot{Shard: shard, Epoch: info.Epoch, Seq: info.Seq, Checksum: sum}).Name() != name {
		return SnapshotInfo{}, bad
	}
	return info, nil
}

// Verify returns an error unless the snapshot was taken at r, the record at its
// sequence. body is r's encoding. A snapshot is valid only if Verify returns nil.
func (s *Snapshot) Verify(r *Record, body []byte) error {
	bad := func(what string, have, want any) error {
		return &CorruptError{
			What: "snapshot", Seq: s.Seq, Tick: s.Tick,
			Reason: fmt.Sprintf("%s: its %s is %v, the log's record has %v", s.Name(), what, have, want),
		}
	}
	switch {
	case r.Seq != s.Seq:
		return bad("sequence", s.Seq, r.Seq)
	case HashOf(body) != s.Chain:
		return bad("chain hash", s.Chain, HashOf(body))
	case r.Epoch != s.Epoch:
		return bad("epoch", s.Epoch, r.Epoch)
	case r.LastTick() != s.Tick:
		return bad("tick", s.Tick, r.LastTick())
	case r.Kind == KindTicks && r.Checksum() != s.Checksum:
		return bad("checksum", hex16(s.Checksum), hex16(r.Checksum()))
	}
	return nil
}

func (s *Snapshot) validate() error {
	for _, err := range []error{validLineage(s.Lineage), ValidShardName(s.Cluster), ValidShardName(s.Shard)} {
		if err != nil {
			return err
		}
	}
	if s.Seq == 0 {
		return fmt.Errorf("a snapshot cannot precede genesis")
	}
	return nil
}

// Encode appends the snapshot's bytes to dst, with the body compressed (zstd). If s
// is not a valid snapshot, it returns dst unchanged and an error. At 100,000
// entities it takes milliseconds: do not call it on the tick's path.
func (s *Snapshot) Encode(dst []byte) ([]byte, error) {
	if err := s.validate(); err != nil {
		return dst, fmt.Errorf("persistence: cannot encode snapshot %s: %w", s.Name(), err)
	}
	if len(s.Body) > MaxSnapshotBytes { // before it is compressed
		return dst, fmt.Errorf("persistence: cannot encode snapshot %s: body has a length of %d, at most %d is allowed", s.Name(), len(s.Body), MaxSnapshotBytes)
	}
	w := newWriter(dst)
	w.mapLen(14)
	w.uint(keyVersion, FormatVersion)
	w.str("kind", "snapshot", maxKindBytes)
	w.str("lineage", s.Lineage, maxLineage)
	w.str("cluster", s.Cluster, ecs.MaxName)
	w.str("shard", s.Shard, ecs.MaxName)
	w.uint("seq", uint64(s.Seq))
	w.uint("epoch", uint64(s.Epoch))
	w.uint("tick", s.Tick)
	w.fixed("check", s.Checksum)
	w.bin("chain", s.Chain[:], len(s.Chain))
	w.text("schema", s.Schema, maxSchemaBytes)
	w.uint("size", uint64(len(s.Body)))
	w.bin("zstd", compress(nil, s.Body), MaxSnapshotBytes)
	w.sum(len(dst))
	b, err := w.done()
	if err != nil {
		return dst, fmt.Errorf("persistence: cannot encode snapshot %s: %w", s.Name(), err)
	}
	return b, nil
}

// DecodeSnapshot is the inverse of Encode. It returns a *CorruptError for bytes
// that are damaged or not a snapshot and a *VersionError for a newer version.
// Schema aliases b, Body does not. It allocates no more than the body that b really
// contains, at most MaxSnapshotBytes.
func DecodeSnapshot(b []byte) (Snapshot, error) {
	r, f, err := open("snapshot", b, 2*MaxSnapshotBytes)
	if err != nil {
		return Snapshot{}, err
	}
	if kind := f.str("kind", maxKindBytes); kind != "snapshot" {
		r.fail("unknown kind %q", kind)
	}
	s := Snapshot{
		Lineage: f.str("lineage", maxLineage),
		Cluster: f.str("cluster", ecs.MaxName),
		Shard:   f.str("shard", ecs.MaxName),
		Seq:     Seq(f.uint("seq")),
		Epoch:   Epoch(f.uint("epoch")),
		Tick:    f.uint("tick"),
	}
	s.Checksum = f.uint("check")
	s.Chain = f.hash("chain")
	s.Schema = f.text("schema", maxSchemaBytes)
	size := f.count("size", MaxSnapshotBytes)
	packed := f.bin("zstd", MaxSnapshotBytes)
	if err := r.close(f); err != nil {
		return Snapshot{}, err
	}
	if err := s.validate(); err != nil {
		return Snapshot{}, &CorruptError{What: "snapshot", Reason: err.Error(), Err: err}
	}
	if s.Body, err = decompress(packed, size); err != nil {
		return Snapshot{}, &CorruptError{What: "snapshot", Seq: s.Seq, Tick: s.Tick, Reason: err.Error(), Err: err}
	}
	return s, nil
}

// snapshotHeadBytes is more than what stands before the checksum in an envelope, with the checksum.
const snapshotHeadBytes = 512

// decodeSnapshotHead returns the name of the snapshot whose envelope begins with b. It proves nothing.
func decodeSnapshotHead(b []byte) (SnapshotInfo, error) {
	r := newReader("snapshot", b)
	defer r.release()
	f := r.fields()
	if v := f.uint(keyVersion); v != FormatVersion {
		r.fail("format version %d", v)
	}
	f.str("kind", maxKindBytes)
	f.str("lineage", maxLineage)
	f.str("cluster", ecs.MaxName)
	s := Snapshot{Shard: f.str("shard", ecs.MaxName), Seq: Seq(f.uint("seq")), Epoch: Epoch(f.uint("epoch")), Tick: f.uint("tick"), Checksum: f.uint("check")}
	return s.Info(), r.err
}
