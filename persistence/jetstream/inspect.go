package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

// StoreState describes what the files of a data directory prove about one shard.
type StoreState struct {
	Ref
	First    persistence.Seq // of the log
	Last     persistence.Seq
	LastTick uint64
	Bytes    int64           // of the log's files
	Known    persistence.Seq // the last record that anything in the directory knows of; at least Last
	KnownBy  string          // "the log", "its mark", "the delta stream", "snapshot main/…"
	Torn     string          // an unfinished write that a crash left after the last record, or ""

	Partition string           // the stream that the log shares with others; "" if it has one of its own
	Damage    *DamagedLogError // of a log in a partition: its shard cannot be served; the others can
	at        uint64           // sequence in the partition of the log's last record
	flipped   int              // messages of the partition in which one bit was flipped
	removed   bool             // of an ended room, whose seal alone is left

	history     persistence.History // other evidence in the store about the log
	purgedBelow persistence.Seq     // noted by a process that cannot write the mark; 0: not noted

	marked mark // zero if no mark names this lineage
	seen   mark // the log's own record at the mark's sequence
}

// shardsIn lists the shards with a log, or the mark of a log, in a store.
func shardsIn(store string) ([]Ref, error) {
	var all []Ref
	for _, dir := range []string{filepath.Join(store, accountDir), filepath.Join(store, marksDir)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			cluster, shard, ok := parseLogStream(e.Name())
			if r := (Ref{Cluster: cluster, Shard: shard}); ok && !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// partitionsIn lists the partitions in a store, and those that have left only their marks there.
func partitionsIn(store string) (all []string, err error) {
	for _, dir := range []string{filepath.Join(store, accountDir), filepath.Join(store, marksDir)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if isPartition(e.Name()) && !slices.Contains(all, e.Name()) {
				all = append(all, e.Name())
			}
		}
	}
	return all, nil
}

// inspectAny is inspect for a log wherever it is.
func inspectAny(ctx context.Context, store string, ref Ref) (StoreState, error) {
	var known catalog
	if !hasStream(store, ref) {
		m, err := readMark(store, logStream(ref.Cluster, ref.Shard))
		if err == nil && m == (mark{}) {
			return inspectRoom(ctx, store, ref, &known)
		}
	}
	return inspect(ctx, store, ref, &known)
}

// inspect reads all evidence about a shard's log in the store and changes nothing. It returns a
// *persistence.CorruptError or *persistence.LostError if the log is damaged or incomplete; even then the state tells
// how far the log is proven.
func inspect(ctx context.Context, store string, ref Ref, known *catalog) (StoreState, error) {
	s := StoreState{Ref: ref}
	// A damaged mark proves nothing; the log's next append rewrites it.
	s.marked, _ = readMark(store, logStream(ref.Cluster, ref.Shard))
	broken := s.readLog(ctx, store)
	if broken != nil && !errors.Is(broken, persistence.ErrCorrupt) && !errors.Is(broken, persistence.ErrVersion) {
		return s, broken
	}
	if s.Lineage != "" && s.marked.lineage != s.Lineage {
		s.marked = mark{} // left by an earlier shard of this name
	}
	s.history.Knows("its mark", persistence.Mark{Seq: s.marked.seq}, s.marked.tick)
	s.history.KnowsDelta(lastDelta(store, s.Ref))
	s.history.KnowsSnapshots(known.of(store, s.Ref))
	lost := s.weigh()
	switch {
	case broken != nil:
		return s, s.tear(broken)
	case lost != nil:
		return s, lost
	}
	return s, s.compare()
}

// weigh compares the log with the other evidence in the store.
func (s *StoreState) weigh() error {
	s.Known, s.KnownBy = s.Last, "the log"
	err := s.history.Lost(s.Last, s.LastTick, 0)
	var lost *persistence.LostError
	if errors.As(err, &lost) {
		s.Known, s.KnownBy = max(s.Last, lost.EvidenceSeq), lost.Evidence
	}
	return err
}

// compare checks an intact chain against the log's mark.
func (s *StoreState) compare() error {
	switch m := s.marked; {
	case m.floor > 0 && s.First > max(m.floor, s.purgedBelow):
		return &persistence.CorruptError{What: "record", Seq: max(m.floor, s.purgedBelow), Reason: fmt.Sprintf("it is missing: the log begins with record %d, but nobody purged it", s.First), Err: persistence.ErrGap}
	case s.seen.seq != 0 && s.seen.hash != m.hash:
		return &persistence.CorruptError{
			What: "record", Seq: m.seq, Tick: s.seen.tick,
			Reason: fmt.Sprintf("its hash is %v, but the one that was acknowledged has %v: it was replaced", s.seen.hash, m.hash),
		}
	}
	return nil
}

// tear decides whether unreadable data at the newest end is an unacknowledged write that a crash cut off, or committed
// data. It returns broken in the latter case.
func (s *StoreState) tear(broken error) error {
	var d *blockDamage
	if !errors.As(broken, &d) || !d.tail || s.Known > s.Last {
		return broken
	}
	s.Torn = d.Error()
	return nil
}

// readLog proves the log's files, record by record.
func (s *StoreState) readLog(ctx context.Context, store string) error {
	files, err := openStreamFiles(store, logStream(s.Cluster, s.Shard))
	if errors.Is(err, fs.ErrNotExist) && !hasStream(store, s.Ref) {
		return nil // the caller's evidence decides whether a log should exist
	}
	if err != nil {
		return &persistence.CorruptError{What: "log", Reason: err.Error(), Err: err}
	}
	if s.Lineage, err = files.lineage(); err != nil {
		return &persistence.CorruptError{What: "log", Reason: err.Error(), Err: err}
	}
	s.purgedBelow, s.history.Accepted = persistence.Seq(files.purgedBelow), files.accepted
	p := prover{state: s, chain: persistence.NewChain(s.Lineage), marked: s.marked.seq}
	r := blockReader{files: files}
	for _, block := range files.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.read(block, p.next)
		var d *blockDamage
		if errors.As(err, &d) {
			return &persistence.CorruptError{What: "record", Seq: s.Last + 1, Tick: s.LastTick + 1, Reason: d.Error(), Err: d}
		}
		if err != nil {
			return err
		}
		s.Bytes += int64(len(r.buf))
	}
	return s.deletions(files, r.deleted)
}

// deletions checks the tombstones. A purge leaves one contiguous run of them at the front. A tombstone further in marks
// a record that somebody deleted.
func (s *StoreState) deletions(files *streamFiles, deleted []uint64) error {
	slices.Sort(deleted)
	for _, seq := range deleted {
		switch q := persistence.Seq(seq); {
		case q < s.First:
		case q == s.First:
			s.First++
		case q > s.Last: // the server once had a record that is missing now
			s.history.Knows("a tombstone", persistence.Mark{Seq: q}, 0)
			return &persistence.CorruptError{What: "record", Seq: s.Last + 1, Tick: s.LastTick + 1, Reason: fmt.Sprintf("it is missing: the store once contained records up to %d", q), Err: persistence.ErrGap}
		default:
			return &persistence.CorruptError{What: "record", Seq: q, Tick: files.tickOf(seq), Reason: "it was deleted", Err: persistence.ErrGap}
		}
	}
	return nil
}

// tickOf returns the first tick of a record whose row is still in its block, otherwise 0.
func (f *streamFiles) tickOf(seq uint64) (tick uint64) {
	r := blockReader{files: f}
	for _, block := range f.blocks {
		_ = r.read(block, func(m storedMsg) error {
			if h, err := nats.DecodeHeadersMsg(m.header); err == nil && m.seq == seq {
				p, _ := persistence.ParseHeader(h.Get)
				tick = p.FirstTick
			}
			return nil
		})
	}
	return tick
}

// prover feeds the messages of a log to its chain.
type prover struct {
	state  *StoreState
	chain  *persistence.Chain
	marked persistence.Seq
}

func (p *prover) next(m storedMsg) error {
	header, err := nats.DecodeHeadersMsg(m.header)
	if err != nil {
		return &persistence.CorruptError{What: "record", Seq: persistence.Seq(m.seq), Tick: p.chain.Tick() + 1, Reason: "its headers are unreadable", Err: err}
	}
	msg, err := message(&stored{spot: spot{num: m.seq}, header: header, body: m.body})
	if err != nil {
		return &persistence.CorruptError{What: "record", Seq: persistence.Seq(m.seq), Tick: p.chain.Tick() + 1, Reason: err.Error(), Err: err}
	}
	return p.prove(msg)
}

func (p *prover) prove(msg persistence.Message) (err error) {
	if p.chain.Seq() == 0 && msg.Seq > 1 { // a purged log begins here
		_, err = p.chain.Anchor(msg)
	} else {
		_, err = p.chain.Next(msg)
	}
	if err != nil {
		return err
	}
	s := p.state
	if s.First == 0 {
		s.First = msg.Seq
	}
	s.Last, s.LastTick = p.chain.Seq(), p.chain.Tick()
	if msg.Seq == p.marked {
		s.seen = mark{seq: msg.Seq, tick: msg.Header.LastTick, hash: p.chain.Hash()}
	}
	return nil
}

// hasStream reports whether anything exists in the place of the log's stream.
func hasStream(store string, r Ref) bool {
	_, err := os.Stat(filepath.Join(store, accountDir, logStream(r.Cluster, r.Shard)))
	return err == nil
}

// lineage returns the lineage in the subject of a log's stream.
func (f *streamFiles) lineage() (string, error) {
	for _, subject := range f.subjects {
		if _, _, lineage, ok := parseLogSubject(subject); ok {
			return lineage, nil
		}
	}
	return "", fmt.Errorf("stream %s has the subjects %v: none belongs to a log", f.name, f.subjects)
}

// lastDelta returns the last readable message of the shard's delta stream, or nil. A missing delta proves nothing, as
// deltas can be derived.
func lastDelta(store string, ref Ref) *persistence.Delta {
	files, err := openStreamFiles(store, deltaStream(ref.Cluster, ref.Shard))
	if err != nil {
		return nil
	}
	r := blockReader{files: files}
	for _, block := range slices.Backward(files.blocks) {
		var found *persistence.Delta
		r.last = 0
		_ = r.read(block, func(m storedMsg) error { // the rows before any damage count
			if d := lastIn(m.body); d != nil && (ref.Lineage == "" || d.Lineage == ref.Lineage) {
				found = d
			}
			return nil
		})
		if found != nil {
			return found
		}
	}
	return nil
}

// lastIn returns the last delta in a message, without its body, or nil if the message is damaged.
func lastIn(body []byte) *persistence.Delta {
	run, err := persistence.DecodeDeltas(body)
	if err != nil {
		return nil
	}
	d := run[len(run)-1]
	d.Body = nil
	return &d
}

// storedObject contains the fields used here of an object's description.
type storedObject struct {
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	Deleted  bool              `json:"deleted"`
}

func parseObject(body []byte) (o storedObject, err error) {
	err = json.Unmarshal(body, &o)
	return o, err
}

// storedSnapshot is a snapshot of a cluster that was stored once.
type storedSnapshot struct {
	persistence.SnapshotInfo
	lineage string
}

// catalog is what a store has ever held of snapshots, by cluster and shard. It is read once for all shards. The zero value
// is ready. Its methods may be called concurrently.
type catalog struct {
	mu       sync.Mutex
	clusters map[string]map[string][]storedSnapshot
}

// of returns the snapshots of a shard that were ever stored, including deleted ones. Lineage "" matches any.
func (c *catalog) of(store string, ref Ref) (all []persistence.SnapshotInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusters == nil {
		c.clusters = map[string]map[string][]storedSnapshot{}
	}
	if c.clusters[ref.Cluster] == nil {
		c.clusters[ref.Cluster] = everStored(store, ref.Cluster)
	}
	for _, s := range c.clusters[ref.Cluster][ref.Shard] {
		if ref.Lineage == "" || s.lineage == ref.Lineage {
			all = append(all, s.SnapshotInfo)
		}
	}
	return all
}

// everStored lists the snapshots of a cluster by shard. It reads names, not bodies.
func everStored(store, cluster string) map[string][]storedSnapshot {
	bucket := snapshotBucket(cluster)
	all := map[string][]storedSnapshot{}
	files, err := openStreamFiles(store, objectPrefix+bucket)
	if err != nil {
		return all
	}
	for _, block := range files.blocks {
		_ = files.skim(block, "$O."+bucket+".M.", func(r skimmed) error {
			if r.deleted {
				return nil
			}
			row, err := r.read()
			if err != nil {
				return err
			}
			o, err := parseObject(parseRow(row, r.seq).body)
			if err != nil {
				return nil
			}
			info, err := persistence.ParseSnapshotName(o.Name)
			if err == nil {
				info.Tick = parseTick(o.Metadata[metaTick])
				all[info.Shard] = append(all[info.Shard], storedSnapshot{info, o.Metadata[metaLineage]})
			}
			return nil
		})
	}
	return all
}
