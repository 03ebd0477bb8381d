package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ferris1/wind/persistence"
)

// examine returns what is wrong with a shard's files beside its log. Reading through a server shows only what is left,
// not that something is missing. It reads every row of the delta stream and of the snapshots.
func examine(ctx context.Context, store string, s StoreState) ([]persistence.Finding, error) {
	var all []persistence.Finding
	find := func(where string, warning bool, format string, args ...any) {
		all = append(all, persistence.Finding{Where: where, Warning: warning, What: fmt.Sprintf(format, args...)})
	}
	if s.Last == 0 || s.removed {
		return nil, nil // nothing needs to exist beside the log
	}
	deltas := deltaStream(s.Cluster, s.Shard)
	marked, err := readMark(store, logStream(s.Cluster, s.Shard))
	if s.Partition != "" {
		deltas, marked, err = s.Partition+deltaSuffix, s.marked, nil
		if _, damaged, _ := readMarks(store, s.Partition); damaged > 0 && marked.seq == 0 {
			err = fmt.Errorf("damaged marks in %s: %d", markPath(store, s.Partition), damaged)
		}
	}
	switch {
	case err != nil:
		find("log", false, "its mark is damaged: only the deltas and the snapshots prove that its end was not cut; the next append rewrites the mark (%v)", err)
	case marked.seq == 0:
		find("log", true, "it has no mark: only the deltas and the snapshots prove that its end was not cut; the next append makes one")
	}
	if s.flipped > 0 {
		find("log", true, "one bit is flipped in %s of %s, which rooms share; a node's start repairs it, and nothing is lost", messages(s.flipped), s.Partition)
	}
	e := examiner{store: store, find: func(warning bool, format string, args ...any) { find("deltas", warning, format, args...) }}
	if s.Partition != "" {
		e.shard = s.Shard
	}
	if err := e.stream(ctx, deltas, func(storedMsg) {}); err != nil {
		return nil, err
	}
	e.shard, e.find = "", func(warning bool, format string, args ...any) { find("snapshots", warning, format, args...) }
	return all, e.snapshots(ctx, s.Ref)
}

// examiner reads the rows of streams that are not logs.
type examiner struct {
	store string
	shard string // the stream is a partition: damage to other shards' messages does not matter
	find  func(warning bool, format string, args ...any)
}

// snapshots checks that the most recently proven snapshots still exist.
func (e *examiner) snapshots(ctx context.Context, ref Ref) error {
	bucket := snapshotBucket(ref.Cluster)
	there := map[string]bool{}
	err := e.stream(ctx, objectPrefix+bucket, func(m storedMsg) {
		if o, err := parseObject(m.body); err == nil && strings.HasPrefix(m.subject, "$O."+bucket+".M.") {
			there[o.Name] = !o.Deleted
		}
	})
	if err != nil {
		return err
	}
	kept, err := readShelf(e.store, ref)
	if err != nil {
		e.find(false, "the note of the newest ones is damaged; the next snapshot rewrites it (%v)", err)
	}
	for _, name := range kept {
		if !there[name] {
			e.find(false, "%s was stored and proven, but is missing now", name)
		}
	}
	return nil
}

// withoutStream says why the files may lack the stream of deltas or snapshots; they do not tell which reason it is.
const withoutStream = "its shard never stored any (as with --deltas off), or it was deleted; an owner that stores some makes a new one, and recovery does not need it"

// stream reads all rows of a stream and passes the intact ones to row.
func (e *examiner) stream(ctx context.Context, stream string, row func(storedMsg)) error {
	store, find := e.store, e.find
	if _, err := os.Stat(filepath.Join(store, accountDir, stream)); errors.Is(err, fs.ErrNotExist) {
		find(true, "stream %s does not exist: %s", stream, withoutStream)
		return nil
	}
	files, err := openStreamFiles(store, stream)
	if err != nil {
		find(false, "the description of stream %s is damaged or missing, so that it cannot be read here; a node's start makes a new one (%v)", stream, err)
		files = &streamFiles{dir: filepath.Join(store, accountDir, stream), name: stream}
		if err := files.list(); err != nil {
			return err
		}
	}
	for i, block := range files.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := os.ReadFile(files.path(block))
		if err != nil {
			return err
		}
		m := mend(b, stream, keyedHash(stream+"-"+strconv.Itoa(block)), i == len(files.blocks)-1)
		switch lost := e.lost(stream, &m); {
		case m.reason == "":
		case lost > 0 || e.shard == "":
			find(false, "damage to %s in %s: %s", messages(m.right+lost), files.path(block), m.reason)
		case m.right > 0:
			find(true, "one bit is flipped in %s in %s, which rooms share; a node's start repairs it, and nothing is lost", messages(m.right), files.path(block))
		}
		for at, n := 0, 0; at < len(m.whole); at += n {
			n, _ = rowLength(m.whole[at:], nil)
			if seq := binary.LittleEndian.Uint64(m.whole[at+4:]); seq&(tombstoneBit|erasedBit) == 0 {
				row(parseRow(m.whole[at:at+n], seq))
			}
		}
	}
	return nil
}

// lost returns how many damaged pieces of a block may be messages of the examined shard.
func (e *examiner) lost(stream string, m *mended) (n int) {
	for i := range m.spans {
		s := &m.spans[i]
		var names []Ref
		if e.shard != "" {
			names = s.names(subjectsOf(stream))
		}
		if !s.cut && (len(names) == 0 || slices.ContainsFunc(names, func(r Ref) bool { return r.Shard == e.shard })) {
			n++
		}
	}
	return n
}
