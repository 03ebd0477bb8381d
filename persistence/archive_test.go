package persistence

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seal ends the room.
func (s *scribe) seal() {
	s.append(&Record{Kind: KindSeal, Epoch: s.chain.Epoch(), Seal: &Seal{Node: "a", Tick: s.chain.Tick(), Reason: EndIdle}})
}

func newFolder(t testing.TB) *Folder {
	t.Helper()
	f, err := NewFolder(filepath.Join(t.TempDir(), "kept", "here"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAnArchiveReplays: what was archived is proven, and its game replays it without the log.
func TestAnArchiveReplays(t *testing.T) {
	ctx := t.Context()
	v, to := sail(t, 200), newFolder(t)
	v.seal()
	wrote, err := Archive(ctx, to, "dev/main.1.wind", v.source())
	if err != nil {
		t.Fatal(err)
	}
	read, size, err := ProveArchive(ctx, to, "dev/main.1.wind")
	if err != nil || !read.Same(&wrote) || !read.Sealed || read.LastHash != v.chain.Hash() || read.Deltas != 200 || read.Snapshots != 4 {
		t.Errorf("wrote %+v, read %+v, %v", wrote, read, err)
	}
	if info, err := os.Stat(to.Place("dev/main.1.wind")); err != nil || info.Size() != size {
		t.Error(info, size, err)
	}
	f, err := OpenArchive(ctx, to, "dev/main.1.wind")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	game := drift(0)
	if r, err := Check(ctx, f.Source(), CheckOptions{Game: &game}); err != nil || r.Resimulated != 200 || len(r.Findings) > 0 || r.Unproven != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := NewReplay(game, f.Source(), ReplayOptions{Verify: true}).Run(ctx); err != nil || r.To != 200 || r.Checksum != v.sums[200] {
		t.Errorf("%+v, %v", r, err)
	}
	if names, err := to.List(ctx, "dev/main."); err != nil || !slices.Equal(names, []string{"dev/main.1.wind"}) {
		t.Error(names, err)
	}
}

// TestOnlyASealedLogIsArchived: and no other leaves a file, nor does one that cannot be read to its end.
func TestOnlyASealedLogIsArchived(t *testing.T) {
	ctx := t.Context()
	to, s := newFolder(t), chronicle(t)
	refused := func(want error) {
		t.Helper()
		_, err := Archive(ctx, to, "x.wind", s.source())
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if names, err := to.List(ctx, ""); err != nil || len(names) > 0 {
			t.Error("left behind:", names, err)
		}
		if _, _, err := ProveArchive(ctx, to, "x.wind"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	refused(ErrNotSealed)
	s.seal()
	whole := s.m.log
	s.m.log = slices.Clone(whole)
	s.m.at(5).Body = whole[5].Body
	refused(ErrCorrupt)
	s.m.log = whole
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	ctx = cancelled
	refused(context.Canceled)
	ctx = t.Context()
	if _, err := Archive(ctx, to, "x.wind", s.source()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", ".", "../x.wind", "/x.wind", "a//b", `a\b`, "c:x", "x.wind.partial"} {
		if _, err := Archive(ctx, to, name, s.source()); err == nil {
			t.Errorf("the name %q was accepted", name)
		}
	}
}

// TestHalfAnArchiveIsNotProven: a file that was cut, altered anywhere, exchanged for another log's, or that has no seal.
func TestHalfAnArchiveIsNotProven(t *testing.T) {
	ctx := t.Context()
	to, s := newFolder(t), chronicle(t)
	s.snapshot()
	s.seal()
	wrote, err := Archive(ctx, to, "x.wind", s.source())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(to.Place("x.wind"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(to.Place("x.wind"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/50 {
		put(whole[:n])
		if _, _, err := ProveArchive(ctx, to, "x.wind"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		} else if n > 100 && !strings.Contains(err.Error(), to.Place("x.wind")) {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/200 {
		b := bytes.Clone(whole)
		b[at] ^= 4
		put(b)
		if _, _, err := ProveArchive(ctx, to, "x.wind"); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("byte %d altered: %v", at, err)
		}
	}
	put(whole)
	if _, _, err := ProveArchive(ctx, to, "x.wind"); err != nil {
		t.Fatal(err)
	}
	other := chronicle(t)
	other.ticks(1)
	other.seal()
	sum, err := Archive(ctx, to, "y.wind", other.source())
	if err != nil || sum.Same(&wrote) {
		t.Errorf("another log's archive is the same: %+v, %v", sum, err)
	}
	if _, err := Export(ctx, to.Place("z.wind"), chronicle(t).source()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ProveArchive(ctx, to, "z.wind"); !errors.Is(err, ErrNotSealed) {
		t.Error(err)
	}
}

// TestALogWithoutItsBeginningIsNoArchive: without genesis and without a snapshot, nobody can replay what is left, as of a log whose removal was
// interrupted.
func TestALogWithoutItsBeginningIsNoArchive(t *testing.T) {
	ctx, to, s := t.Context(), newFolder(t), chronicle(t)
	s.seal()
	if err := s.m.Log().Purge(ctx, 5); err != nil {
		t.Fatal(err)
	}
	for name, snapshots := range map[string]SnapshotReader{"none": nil, "empty": s.m.Snapshots()} {
		src := s.source()
		src.Deltas, src.Snapshots = nil, snapshots
		if _, err := Archive(ctx, to, name, src); err != nil {
			continue // so much the better
		}
		if _, _, err := ProveArchive(ctx, to, name); !errors.Is(err, ErrCorrupt) {
			t.Errorf("snapshots %s: half a log is proven: %v", name, err)
		}
	}
}

// TestAWriterThatDiesLeavesNoArchive: what it has written has another name, is listed, and can be removed.
func TestAWriterThatDiesLeavesNoArchive(t *testing.T) {
	ctx, to := t.Context(), newFolder(t)
	wrote, die := make(chan struct{}), make(chan struct{})
	defer close(die)
	go func() {
		_ = to.Create(ctx, "a/b.wind", func(w io.Writer) error {
			_, _ = w.Write([]byte("half"))
			close(wrote)
			<-die
			return errors.New("dead")
		})
	}()
	<-wrote
	if _, _, err := to.Open(ctx, "a/b.wind"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("half a file has the name:", err)
	}
	names, err := to.List(ctx, "a/")
	if err != nil || !slices.Equal(names, []string{"a/b.wind"}) {
		t.Error(names, err)
	}
	for range 2 {
		if err := to.Remove(ctx, "a/b.wind"); err != nil {
			t.Error(err)
		}
	}
	if names, err := to.List(ctx, "a/"); err != nil || len(names) > 0 {
		t.Error(names, err)
	}
}

// watched tells which bytes of a file are read.
type watched struct {
	io.ReaderAt
	reads [][2]int64 // offset and end
}

func (w *watched) ReadAt(b []byte, at int64) (int, error) {
	w.reads = append(w.reads, [2]int64{at, at + int64(len(b))})
	return w.ReaderAt.ReadAt(b, at)
}

// touched returns how many chunks of a kind were read beyond the heads of snapshots.
func (w *watched) touched(f *File, kind chunkKind) (n int) {
	for _, c := range f.chunks[kind] {
		if slices.ContainsFunc(w.reads, func(r [2]int64) bool {
			return r[0] < c.offset+chunkBytes+int64(c.stored) && r[1] > c.offset+chunkBytes+snapshotHeadBytes
		}) {
			n++
		}
	}
	return n
}

// TestSeekingReadsOnlyTheChunksThatItNeeds: a tick in the middle of a file of many chunks, from the snapshot before it and
// from the deltas.
func TestSeekingReadsOnlyTheChunksThatItNeeds(t *testing.T) {
	ctx := t.Context()
	v := sail(t, 1000)
	v.seal()
	x := exhibited(t, v, v.source())
	open := func() (*File, *watched) {
		w := &watched{ReaderAt: bytes.NewReader(x.bytes)}
		f, err := ReadFile(w, int64(len(x.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		w.reads = nil
		return f, w
	}
	f, w := open()
	if l, d, s := len(f.chunks[chunkLog]), len(f.chunks[chunkDeltas]), len(f.chunks[chunkSnapshot]); l < 8 || d < 8 || s < 10 {
		t.Fatalf("the file has %d, %d and %d chunks: too few for this test", l, d, s)
	}
	all, err := f.Snapshots().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := w.touched(f, chunkSnapshot); n > 0 {
		t.Errorf("listing the snapshots read %d of them", n)
	}
	i := slices.IndexFunc(all, func(s SnapshotInfo) bool { return s.Tick <= 560 })
	snap, err := f.Snapshots().Get(ctx, all[i])
	if err != nil || snap.Tick < 500 {
		t.Fatal(snap.Tick, err)
	}
	if r, err := NewReplay(drift(0), f.Source(), ReplayOptions{Snapshot: &snap, To: 560}).Run(ctx); err != nil || r.Checksum != v.sums[560] {
		t.Errorf("%+v, %v", r, err)
	}
	// The snapshot's record and the ticks after it; besides, the search for the schema and who wrote the end.
	if l, s := w.touched(f, chunkLog), w.touched(f, chunkSnapshot); s != 1 || l > 2+halvings(len(f.chunks[chunkLog])) {
		t.Errorf("replay to tick 560 read %d of %d chunks of the log and %d snapshots", l, len(f.chunks[chunkLog]), s)
	}
	if n := w.touched(f, chunkDeltas); n > 1 { // the last one is evidence
		t.Errorf("it read %d chunks of deltas", n)
	}
	f, w = open()
	for d, err := range f.Deltas().Read(ctx, 560) {
		if err != nil || d.Tick != 560 {
			t.Error(d.Tick, err)
		}
		break
	}
	if n := w.touched(f, chunkDeltas); n != 1 {
		t.Errorf("the delta of tick 560 needs %d chunks", n)
	}
	f, w = open()
	if _, err := f.Log().Get(ctx, 300); err != nil || w.touched(f, chunkLog) != 1 || len(w.reads) != 1 {
		t.Errorf("a record needs %d reads: %v", len(w.reads), err)
	}
}

// halvings is how many steps a search through n takes, twice: for the end's epoch and for the one before.
func halvings(n int) (steps int) {
	for ; n > 0; n /= 2 {
		steps += 2
	}
	return steps
}

// deaf are archives that take files and give none back, or not those that they took.
type deaf struct {
	*Folder
	gives func(name string) (Content, int64, error)
}

func (d deaf) Open(_ context.Context, name string) (Content, int64, error) { return d.gives(name) }

// blind are archives that list too little.
type blind struct {
	*Folder
	err error
}

func (b blind) List(context.Context, string) ([]string, error) { return nil, b.err }

// TestAProbeFindsAPlaceThatTakesNoArchives: one that cannot be written, listed, or read back. It leaves nothing behind.
func TestAProbeFindsAPlaceThatTakesNoArchives(t *testing.T) {
	ctx, to := t.Context(), newFolder(t)
	if err := ProbeArchives(ctx, to, "dev/probe"); err != nil {
		t.Error(err)
	}
	away := errors.New("no right to read")
	if err := ProbeArchives(ctx, deaf{to, func(string) (Content, int64, error) { return nil, 0, away }}, "dev/probe"); !errors.Is(err, away) {
		t.Error(err)
	}
	if err := ProbeArchives(ctx, blind{to, away}, "dev/probe"); !errors.Is(err, away) {
		t.Error(err)
	}
	if err := ProbeArchives(ctx, blind{to, nil}, "dev/probe"); err == nil || !strings.Contains(err.Error(), "not listed") {
		t.Error(err)
	}
	other := to.Place("other")
	if err := os.WriteFile(other, []byte(strings.Repeat("x", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ProbeArchives(ctx, deaf{to, func(string) (Content, int64, error) { return to.Open(ctx, "other") }}, "dev/probe"); err == nil || !strings.Contains(err.Error(), "other bytes") {
		t.Error(err)
	}
	if names, err := to.List(ctx, "dev/"); err != nil || len(names) > 0 {
		t.Errorf("probes stay: %v, %v", names, err)
	}
	if err := ProbeArchives(ctx, to, "other/probe"); err == nil || !strings.Contains(err.Error(), to.Place("other")) {
		t.Errorf("a file is in the place of the folder: %v", err)
	}
}
