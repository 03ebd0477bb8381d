package persistence

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ferris1/wind/ecs"
)

// Exported is what an export or an import copied.
type Exported struct {
	Info      FileInfo
	First     Seq
	Last      Seq
	LastTick  uint64
	LastHash  Hash // of the last record
	Sealed    bool // by the last record
	Records   int
	Deltas    int
	Snapshots int
}

// Export writes src to an export file and proves the chain while it reads. The file
// replaces one of that name when it is whole and synced. If the log is damaged, Export
// returns an error and leaves no file. src.Deltas and src.Snapshots may be nil.
func Export(ctx context.Context, path string, src Source) (sum Exported, err error) {
	err = writeWhole(path, func(w io.Writer) error {
		sum, err = export(ctx, w, src)
		return err
	})
	return sum, err
}

// export writes src as an export file.
func export(ctx context.Context, to io.Writer, src Source) (sum Exported, err error) {
	if sum.First, err = src.Log.First(ctx); err != nil {
		return sum, fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	if sum.Last, err = src.Log.Last(ctx); err != nil {
		return sum, fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	if sum.First == 0 {
		return sum, fmt.Errorf("%w: the log is empty", ErrNotFound)
	}
	if sum.Info, err = describe(ctx, src, sum.First); err != nil {
		return sum, err
	}
	w, err := NewFileWriter(to, sum.Info)
	if err != nil {
		return sum, err
	}
	for _, write := range []func(context.Context, *FileWriter, Source, *Exported) error{exportLog, exportDeltas, exportSnapshots} {
		if err := write(ctx, w, src, &sum); err != nil {
			return sum, err
		}
	}
	return sum, w.Close()
}

// describe finds out which shard the log belongs to: from genesis, from what is known of it or, if it is purged, from a
// snapshot, which does not tell the tick rate.
func describe(ctx context.Context, src Source, first Seq) (FileInfo, error) {
	if first == 1 {
		m, err := src.Log.Get(ctx, 1)
		if err != nil {
			return FileInfo{}, fmt.Errorf("persistence: genesis: %w", err)
		}
		r, err := NewChain(src.Lineage).Next(m)
		if err != nil {
			return FileInfo{}, err
		}
		g := r.Genesis
		return FileInfo{Lineage: g.Lineage, Cluster: g.Cluster, Shard: g.Shard, Game: g.Game, TickRate: g.TickRate}, nil
	}
	if src.Info.Game != "" {
		return src.Info, nil
	}
	if src.Snapshots != nil {
		all, _, err := src.snapshots(ctx)
		if err != nil {
			return FileInfo{}, err
		}
		for i, info := range all {
			s, err := src.Snapshots.Get(ctx, info)
			if errors.Is(err, ErrCorrupt) && i < len(all)-1 {
				continue // an older one has the same answer
			}
			if err != nil {
				return FileInfo{}, err
			}
			info := FileInfo{Lineage: s.Lineage, Cluster: s.Cluster, Shard: s.Shard}
			if game, _, err := ecs.SnapshotConfig(s.Body); err == nil { // a later ecs may write another body
				info.Game = game
			}
			return info, nil
		}
	}
	return FileInfo{Lineage: src.Lineage}, nil
}

func exportLog(ctx context.Context, w *FileWriter, src Source, sum *Exported) error {
	chain := NewChain(src.Lineage)
	anchored := sum.First == 1
	for m, err := range src.Log.Read(ctx, sum.First, sum.Last) {
		switch {
		case errors.Is(err, ErrGap):
			err = &CorruptError{What: "record", Seq: chain.Seq() + 1, Tick: chain.Tick() + 1, Rule: "I4", Reason: "it is missing", Err: err}
		case err == nil && anchored:
			_, err = chain.Next(m)
		case err == nil:
			_, err = chain.Anchor(m)
			anchored = true
		}
		if err != nil {
			return err
		}
		if err := w.Message(m); err != nil {
			return err
		}
		sum.Records++
	}
	sum.LastTick, sum.LastHash, sum.Sealed = chain.Tick(), chain.Hash(), chain.Sealed()
	return nil
}

func exportDeltas(ctx context.Context, w *FileWriter, src Source, sum *Exported) error {
	if src.Deltas == nil {
		return nil
	}
	for d, err := range src.deltas(ctx, 1) {
		if err != nil {
			return err
		}
		if d.Tick > sum.LastTick {
			return nil // committed after the log was read
		}
		if err := w.Delta(d); err != nil {
			return err
		}
		sum.Deltas++
	}
	return nil
}

func exportSnapshots(ctx context.Context, w *FileWriter, src Source, sum *Exported) error {
	if src.Snapshots == nil {
		return nil
	}
	all, _, err := src.snapshots(ctx)
	if err != nil {
		return err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Seq > sum.Last {
			continue
		}
		s, err := src.Snapshots.Get(ctx, all[i])
		if err != nil {
			return fmt.Errorf("persistence: snapshot %s: %w", all[i].Name, err)
		}
		if err := w.Snapshot(s); err != nil {
			return err
		}
		sum.Snapshots++
	}
	return nil
}

// Import appends the content of f to empty stores and proves the chain while it
// reads. deltas and snapshots may be nil. It refuses a file whose log does not
// begin with genesis.
func Import(ctx context.Context, f *File, log LogWriter, deltas DeltaWriter, snapshots SnapshotWriter) (sum Exported, err error) {
	sum.Info = f.Info()
	if sum.First, err = f.Log().First(ctx); err != nil {
		return sum, err
	}
	if sum.First != 1 {
		return sum, fmt.Errorf("persistence: the file begins with record %d, but only a file that begins with genesis can be imported", sum.First)
	}
	if last, err := log.Last(ctx); err != nil || last != 0 {
		return sum, errors.Join(err, fmt.Errorf("persistence: the shard's log ends at record %d, but import needs an empty one", last))
	}
	if sum.Last, err = f.Log().Last(ctx); err != nil {
		return sum, err
	}
	chain := NewChain(sum.Info.Lineage)
	for m, err := range f.Log().Read(ctx, 1, sum.Last) {
		if err != nil {
			return sum, err
		}
		if _, err := chain.Next(m); err != nil {
			return sum, err
		}
		if err := log.Append(ctx, m, m.Seq-1); err != nil {
			return sum, fmt.Errorf("persistence: record %d: %w", m.Seq, err)
		}
		sum.Records++
	}
	sum.LastTick = chain.Tick()
	if err := importDeltas(ctx, f, deltas, &sum); err != nil {
		return sum, err
	}
	return sum, importSnapshots(ctx, f, snapshots, &sum)
}

func importDeltas(ctx context.Context, f *File, to DeltaWriter, sum *Exported) error {
	from := f.Deltas()
	if from == nil || to == nil {
		return nil
	}
	for d, err := range from.Read(ctx, 1) {
		if err != nil {
			return err
		}
		if err := to.Publish(ctx, []Delta{d}); err != nil {
			return fmt.Errorf("persistence: delta of tick %d: %w", d.Tick, err)
		}
		sum.Deltas++
	}
	return nil
}

func importSnapshots(ctx context.Context, f *File, to SnapshotWriter, sum *Exported) error {
	from := f.Snapshots()
	if from == nil || to == nil {
		return nil
	}
	all, err := from.List(ctx)
	if err != nil {
		return err
	}
	for i := len(all) - 1; i >= 0; i-- {
		s, err := from.Get(ctx, all[i])
		if err != nil {
			return err
		}
		if err := to.Put(ctx, s, nil); err != nil {
			return fmt.Errorf("persistence: snapshot %s: %w", s.Name(), err)
		}
		sum.Snapshots++
	}
	return nil
}
