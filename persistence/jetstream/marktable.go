package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/ferris1/wind/persistence"
)

// markTable is the open file of a partition's marks. All handles of one log share its mark. Its methods may be called
// concurrently.
type markTable struct {
	mu     sync.Mutex
	f      *os.File
	places map[string]place // by lineage
	free   []int
	end    int // places in the file
	open   map[string]*openSlot
}

// place is where a log's mark is, or will be once it is written.
type place struct {
	slot  int
	shard string
}

type openSlot struct {
	mark    *markFile
	handles int
}

// openMarkTable opens the marks of a partition. It takes a damaged mark for a free place.
func openMarkTable(store, stream string) (*markTable, error) {
	f, err := openMarks(store, stream)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(markPath(store, stream))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("jetstream: cannot read the marks of %s: %w", stream, err), f.Close())
	}
	t := &markTable{f: f, places: map[string]place{}, open: map[string]*openSlot{}, end: (len(b) + slotSize - 1) / slotSize}
	for i := range t.end {
		if m, ok := parseMark(b[i*slotSize : min((i+1)*slotSize, len(b))]); ok {
			t.places[m.lineage] = place{i, m.shard}
		} else {
			t.free = append(t.free, i)
		}
	}
	return t, nil
}

// mark opens the mark of a log. If there is none, the new one says that the log begins where begin says.
func (t *markTable) mark(ref Ref, begin func() (persistence.Seq, error)) (*markFile, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.open[ref.Lineage]; s != nil {
		s.handles++
		return s.mark, nil
	}
	w := &markFile{f: t.f, table: t}
	p, ok := t.places[ref.Lineage]
	if ok {
		var b [slotSize]byte
		if _, err := t.f.ReadAt(b[:], int64(p.slot)*slotSize); err == nil {
			w.now, w.written = parseMark(b[:])
		}
	}
	if w.now.lineage != ref.Lineage {
		first, err := begin()
		if err != nil {
			return nil, err
		}
		w.now = mark{floor: first, lineage: ref.Lineage, shard: ref.Shard}
	}
	switch {
	case ok:
	case len(t.free) > 0:
		p.slot, t.free = t.free[len(t.free)-1], t.free[:len(t.free)-1]
	default:
		p.slot = t.end
		t.end++
	}
	p.shard = ref.Shard
	t.places[ref.Lineage], w.at = p, int64(p.slot)*slotSize
	t.open[ref.Lineage] = &openSlot{mark: w, handles: 1}
	return w, nil
}

// leave closes a handle. The place of a mark that was never written is free again.
func (t *markTable) leave(w *markFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.open[w.now.lineage]
	if s == nil || s.mark != w { // its log was removed
		return
	}
	if s.handles--; s.handles > 0 {
		return
	}
	delete(t.open, w.now.lineage)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.written {
		w.removed = true
		t.vacate(w.now.lineage)
	}
}

// remove forgets the mark of a log that is about to be removed.
func (t *markTable) remove(lineage string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.places[lineage]
	if !ok {
		return
	}
	if s := t.open[lineage]; s != nil {
		s.mark.mu.Lock()
		s.mark.removed = true
		s.mark.mu.Unlock()
	}
	delete(t.open, lineage)
	_, _ = t.f.WriteAt(make([]byte, slotSize), int64(p.slot)*slotSize)
	t.vacate(lineage)
}

// vacate gives the place of a lineage to whoever needs one. The caller holds the lock.
func (t *markTable) vacate(lineage string) {
	t.free = append(t.free, t.places[lineage].slot)
	delete(t.places, lineage)
}

// closed lists the marked logs that no handle has open.
func (t *markTable) closed(cluster string) (all []Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for lineage, p := range t.places {
		if t.open[lineage] == nil {
			all = append(all, Ref{cluster, p.shard, lineage})
		}
	}
	return all
}

// marks returns the table of a partition's marks.
func (s *Server) marks(stream string) (*markTable, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[stream]; t != nil {
		return t, nil
	}
	t, err := openMarkTable(s.config.Dir, stream)
	if err != nil {
		return nil, err
	}
	if s.tables == nil {
		s.tables = map[string]*markTable{}
	}
	s.tables[stream] = t
	return t, nil
}

// readMarks returns the marks of a partition, and how many are damaged.
func readMarks(store, stream string) (all []mark, damaged int, err error) {
	b, err := os.ReadFile(markPath(store, stream))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for at := 0; at < len(b); at += slotSize {
		slot := b[at:min(at+slotSize, len(b))]
		switch m, ok := parseMark(slot); {
		case ok && m.shard != "":
			all = append(all, m)
		case len(bytes.TrimLeft(slot, "\x00")) > 0:
			damaged++
		}
	}
	return all, damaged, nil
}
