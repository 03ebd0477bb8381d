package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Archives is where the logs of ended rooms are kept, as export files: a [Folder], or an object store (module
// persistence/objects). Its methods may be called concurrently. A name has parts of letters, digits, "." and "-",
// separated by "/".
type Archives interface {
	// Create stores what write writes under a name. Only the whole file ever has the name, and it is durable when Create
	// returns nil. If write fails or ctx ends, nothing has it.
	Create(ctx context.Context, name string, write func(io.Writer) error) error
	// Open opens a file. The error is fs.ErrNotExist if it does not exist. The content may be read until ctx ends.
	Open(ctx context.Context, name string) (c Content, sizeBytes int64, err error)
	// List returns the names that begin with prefix, in order. It may include files that were never completed.
	List(ctx context.Context, prefix string) ([]string, error)
	// Remove removes a file, or what there is of one that was never completed. One that does not exist is no error.
	Remove(ctx context.Context, name string) error
	// Place returns the path or URL under which people and the reading verbs find a file.
	Place(name string) string
}

// Content is an open file of Archives. It is an alias, so that an implementation need not import this package.
type Content = interface {
	io.ReaderAt
	io.Closer
}

// ErrNotSealed means that a log cannot be archived because it has no seal: its room goes on.
var ErrNotSealed = errors.New("persistence: the log has no seal")

// Archive writes a sealed log, with its deltas and snapshots, to a file in to. It proves the chain up to the seal while it
// reads. On an error there is no such file. The bytes that were stored are not proven: see [ProveArchive].
func Archive(ctx context.Context, to Archives, name string, src Source) (sum Exported, err error) {
	err = to.Create(ctx, name, func(w io.Writer) error {
		if sum, err = export(ctx, w, src); err == nil && !sum.Sealed {
			err = fmt.Errorf("%w: it ends with record %d, after tick %d", ErrNotSealed, sum.Last, sum.LastTick)
		}
		return err
	})
	if err != nil {
		return sum, fmt.Errorf("persistence: writing the archive %s: %w", to.Place(name), err)
	}
	return sum, nil
}

// ProveArchive reads all of an archive back and proves what can be proven without its game: every chunk's hash, the chain
// from the first record to the seal, each delta and snapshot against it, and that it begins with genesis or has snapshots. It returns what the archive holds, the
// Same as Archive returned, and its size.
func ProveArchive(ctx context.Context, from Archives, name string) (sum Exported, sizeBytes int64, err error) {
	f, err := OpenArchive(ctx, from, name)
	if err != nil {
		return sum, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, err := Check(ctx, f.Source(), CheckOptions{})
	if err != nil {
		return sum, f.size, err
	}
	sum = Exported{Info: f.info, First: r.First, Last: r.Last, LastTick: r.LastTick, Records: r.Records, Deltas: r.Deltas + r.Gaps, Snapshots: r.Snapshots}
	for _, found := range r.Findings {
		if !found.Warning {
			return sum, f.size, &CorruptError{What: "file " + from.Place(name), Seq: found.Seq, Tick: found.Tick, Rule: found.Invariant, Reason: found.String()}
		}
	}
	if r.First > 1 && r.Snapshots == 0 { // Check takes it for an export of the log alone
		return sum, f.size, &CorruptError{What: "file " + from.Place(name), Seq: r.First, Tick: r.FirstTick, Rule: "I8", Reason: fmt.Sprintf("it begins with record %d, and no snapshot leads to it", r.First)}
	}
	m, err := f.Log().Get(ctx, r.Last)
	if err != nil {
		return sum, f.size, err
	}
	sum.LastHash, sum.Sealed = HashOf(m.Body), m.Header.Kind == KindSeal.String()
	if !sum.Sealed {
		return sum, f.size, fmt.Errorf("%w: the archive %s ends with record %d, after tick %d", ErrNotSealed, from.Place(name), sum.Last, sum.LastTick)
	}
	return sum, f.size, nil
}

// ProbeArchives writes a few bytes under a name, finds and reads them, and removes them, so that a node that is to archive rooms
// learns at once that it cannot.
func ProbeArchives(ctx context.Context, in Archives, name string) (err error) {
	want := []byte("a node writes this file to see whether it can, and removes it\n")
	if err := in.Create(ctx, name, func(w io.Writer) error { _, err := w.Write(want); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Remove(ctx, name)) }()
	names, err := in.List(ctx, name)
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("persistence: %s was written, and is not listed", in.Place(name))
	}
	c, size, err := in.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	got := make([]byte, len(want))
	if n, err := c.ReadAt(got, 0); n < len(got) {
		return fmt.Errorf("persistence: reading %s: %w", in.Place(name), err)
	}
	if size != int64(len(want)) || !bytes.Equal(got, want) {
		return fmt.Errorf("persistence: %s has other bytes than were written", in.Place(name))
	}
	return nil
}

// Same reports whether both are files of one log from its first stored record to its last.
func (e *Exported) Same(o *Exported) bool {
	return e.Info == o.Info && e.First == o.First && e.Last == o.Last && e.LastHash == o.LastHash
}

// OpenArchive opens an archive like [OpenFile]. What is read from it may be read until ctx ends.
func OpenArchive(ctx context.Context, from Archives, name string) (*File, error) {
	content, size, err := from.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("persistence: archive %s: %w", from.Place(name), err)
	}
	f, err := ReadFile(content, size)
	if err != nil {
		_ = content.Close()
		return nil, named(from.Place(name), err)
	}
	f.closer = content
	return f, nil
}
