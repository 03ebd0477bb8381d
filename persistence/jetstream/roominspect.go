package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ferris1/wind/persistence"
)

// verdict is what is known about one log of a partition: the error is that of inspect.
type verdict struct {
	StoreState
	err error
}

// inspectPartition is inspect for the logs in a partition, or for those of one shard. It returns a
// *persistence.CorruptError of its own only if no server could find any of them.
func inspectPartition(ctx context.Context, store, stream, only string, known *catalog) ([]verdict, error) {
	p, err := openPartition(ctx, store, stream, only)
	var described *descriptionError
	if errors.As(err, &described) {
		return nil, &persistence.CorruptError{What: "log", Reason: err.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	for ref, d := range lastDeltas(store, stream+deltaSuffix, only) {
		l := p.log(ref)
		l.state.history.KnowsDelta(d)
	}
	p.blame()
	for _, l := range p.logs {
		l.evidence(p, store, known)
	}
	var all []verdict
	for _, l := range p.logs {
		if l.state.at == 0 && len(l.state.history.Evidence) == 0 {
			continue // a room that is gone
		}
		l.state.flipped, l.state.removed = p.right, l.chain.Sealed() && l.state.First == l.state.Last
		err := l.verdict()
		all = append(all, verdict{l.state, err})
	}
	slices.SortFunc(all, func(a, b verdict) int {
		return strings.Compare(a.Shard+"\x00"+a.Lineage, b.Shard+"\x00"+b.Lineage)
	})
	return all, nil
}

// evidence gathers what else in the store knows about the log.
func (l *roomLog) evidence(p *partitionFiles, store string, known *catalog) {
	s := &l.state
	if s.marked.at > p.last || s.at > 0 || l.piece != nil { // otherwise the room was removed, by a process that cannot write the mark
		s.history.Knows("its mark", persistence.Mark{Seq: s.marked.seq}, s.marked.tick)
	}
	if l.state.at == 0 {
		return // snapshots outlive a room
	}
	for _, seq := range l.wide {
		if seq > s.Last {
			s.history.Knows("a tombstone", persistence.Mark{Seq: seq}, 0)
		}
	}
	s.history.KnowsSnapshots(known.of(store, s.Ref))
}

// blame finds out which logs each damaged piece may belong to: those that it names, or else those whose next
// record may be in it. A piece before a log's last row costs that log only what its chain lacks.
func (p *partitionFiles) blame() {
	broken := 0 // logs whose break nothing explains yet
	for _, l := range p.logs {
		if l.broken != nil {
			broken++
		}
	}
	var unnamed []*piece
	for _, d := range p.pieces {
		known := false
		for _, ref := range d.names {
			if l := p.logs[ref]; l != nil {
				l.blame(d)
				known = true
				if l.broken != nil {
					broken--
				}
			}
		}
		if !known && !d.tail {
			unnamed = append(unnamed, d)
		}
	}
	if len(unnamed) <= broken {
		return // each is a record that a chain lacks
	}
	for _, d := range unnamed {
		for _, l := range p.logs {
			if l.state.at > 0 && d.after >= l.state.at {
				l.blame(d)
			}
		}
	}
}

// blame notes that a piece may be a record of the log. The first one after its last row counts most.
func (l *roomLog) blame(d *piece) {
	if l.piece == nil || l.piece.after < l.state.at && d.after >= l.state.at {
		l.piece = d
	}
}

// verdict returns a *persistence.CorruptError or *persistence.LostError if the log is damaged or incomplete.
func (l *roomLog) verdict() error {
	s := &l.state
	lost := s.weigh()
	next := &persistence.CorruptError{What: "record", Seq: s.Last + 1, Tick: s.LastTick + 1}
	switch {
	case l.broken != nil:
		var c *persistence.CorruptError
		if !errors.As(l.broken, &c) || c.Seq != next.Seq || !errors.Is(l.broken, persistence.ErrCorrupt) {
			return l.broken
		}
		if slices.Contains(l.wide, c.Seq) {
			next.Reason, next.Err = "it was deleted", persistence.ErrGap
			return next
		}
		if l.piece != nil && strings.HasPrefix(c.Reason, "it is missing") {
			next.Reason, next.Err = l.piece.Error(), &l.piece.blockDamage
			return next
		}
		return l.broken
	case lost != nil && l.piece != nil && !l.piece.tail:
		next.Reason, next.Err = l.piece.Error(), &l.piece.blockDamage
		return next
	case lost != nil:
		return lost
	case l.state.at == 0:
		return nil
	case l.piece != nil && !l.piece.tail && l.piece.after >= l.state.at && !l.chain.Sealed() && !s.confirmed():
		next.Reason, next.Err = l.piece.Error(), &l.piece.blockDamage
		return next
	case s.removed:
		return nil
	}
	err := s.compare()
	var c *persistence.CorruptError
	if errors.As(err, &c) && errors.Is(err, persistence.ErrGap) && l.piece != nil {
		c.Reason, c.Err = l.piece.Error(), &l.piece.blockDamage
	}
	return err
}

// confirmed reports whether the log's last record is the last one that was acknowledged.
func (s *StoreState) confirmed() bool {
	return s.marked.seq == s.Last && s.seen.seq == s.Last && s.seen.hash == s.marked.hash
}

// inspectRoom is inspect for a log in a partition. If the shard had several lineages, it chooses the one with the last
// row. It returns the zero state if no log of the shard exists.
func inspectRoom(ctx context.Context, store string, ref Ref, known *catalog) (StoreState, error) {
	all, err := inspectPartition(ctx, store, partitionStream(ref.Cluster, partitionOf(ref.Shard)), ref.Shard, known)
	if err != nil {
		return StoreState{Ref: ref, Partition: partitionStream(ref.Cluster, partitionOf(ref.Shard))}, err
	}
	var best verdict
	for _, v := range all {
		if best.Shard == "" || v.at >= best.at {
			best = v
		}
	}
	if best.Shard == "" {
		return StoreState{Ref: ref}, fmt.Errorf("%w: no log of shard %s in %s", persistence.ErrNotFound, ref.Shard, store)
	}
	return best.StoreState, best.err
}

// lastDeltas returns the last readable delta of each shard in a partition's stream of deltas, or of one shard alone. A
// missing delta proves nothing, as deltas can be derived.
func lastDeltas(store, stream, only string) map[Ref]*persistence.Delta {
	found := map[Ref]*persistence.Delta{}
	for ref, r := range lastRows(store, stream, only) {
		row, err := r.read()
		if err != nil {
			continue
		}
		if d := lastIn(parseRow(row, r.seq).body); d != nil && d.Lineage == ref.Lineage {
			found[ref] = d
		}
	}
	return found
}

// roomsIn lists the shards in the partitions that o selects, except those that have left only notes.
func roomsIn(store string, o CopyOptions) (all []Ref, err error) {
	streams, err := partitionsIn(store)
	if err != nil {
		return nil, err
	}
	for _, stream := range streams {
		if o.wants(stream) {
			all = slices.AppendSeq(all, maps.Keys(lastRows(store, stream, o.Shard)))
		}
	}
	slices.SortFunc(all, func(a, b Ref) int { return strings.Compare(a.Shard, b.Shard) })
	return all, nil
}

// lastRows returns the last row of each shard, or of one alone, in a stream that shards share. It reads the rows' frames
// and subjects, and of each block those before any damage.
func lastRows(store, stream, only string) map[Ref]skimmed {
	files, err := openStreamFiles(store, stream)
	if err != nil {
		return nil
	}
	prefix, _ := sharedBy(stream)
	if only != "" {
		prefix += only + "."
	}
	rows := map[Ref]skimmed{}
	var deleted []uint64
	for _, block := range files.blocks {
		_ = files.skim(block, prefix, func(r skimmed) error {
			if r.deleted {
				deleted = append(deleted, r.seq)
			} else if ref, kind, ok := parseSharedSubject(r.subject); ok && kind != "" {
				rows[ref] = r
			}
			return nil
		})
	}
	slices.Sort(deleted)
	maps.DeleteFunc(rows, func(_ Ref, r skimmed) bool { // the last row is deleted with all others
		_, gone := slices.BinarySearch(deleted, r.seq)
		return gone
	})
	return rows
}
