package persistence

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exported writes a history large enough for several chunks.
func exported(t testing.TB) (*scribe, string) {
	t.Helper()
	s := chronicle(t)
	s.snapshot()
	for range 350 {
		r := &Record{Kind: KindTicks, Epoch: s.chain.Epoch(), Ticks: ticksFrom(s.chain.Tick()+1, 1)}
		r.Ticks[0].Frame = noise(r.Ticks[0].Tick, 7<<10)
		s.append(r)
		s.delta(Delta{Lineage: testLineage, Epoch: r.Epoch, RecordSeq: r.Seq, Tick: r.Ticks[0].Tick, Checksum: r.Ticks[0].Checksum, Body: noise(uint64(r.Seq), 1<<10)})
	}
	s.snapshot()
	path := filepath.Join(t.TempDir(), "shard.wind")
	sum, err := Export(context.Background(), path, s.source())
	if err != nil {
		t.Fatal(err)
	}
	if sum.Records != 363 || sum.Deltas != 362 || sum.Snapshots != 2 || sum.LastTick != 362 || sum.Info.Game != "drift" {
		t.Fatalf("%+v", sum)
	}
	return s, path
}

// noise returns n bytes that do not compress well. They depend only on the seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x) & 0x7f
	}
	return b
}

func TestAFileHoldsWhatWasExported(t *testing.T) {
	ctx := context.Background()
	s, path := exported(t)
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := len(f.chunks[chunkLog]); n < 3 {
		t.Errorf("%d chunks of the log: the test wants several", n)
	}
	if f.Info() != (FileInfo{Lineage: testLineage, Cluster: "dev", Shard: "main", Game: "drift", TickRate: 30}) {
		t.Error(f.Info())
	}
	next := Seq(1)
	last, _ := f.Log().Last(ctx)
	for m, err := range f.Log().Read(ctx, 1, last) {
		if err != nil {
			t.Fatal(err)
		}
		if want := s.m.at(next); m.Seq != next || m.Header != want.Header || !bytes.Equal(m.Body, want.Body) {
			t.Fatalf("record %d is %+v", next, m.Header)
		}
		next++
	}
	if next != 364 {
		t.Errorf("%d records", next-1)
	}
	report, err := Check(ctx, f.Source(), CheckOptions{})
	if err != nil || len(report.Findings) > 0 || report.Deltas != 362 || report.Snapshots != 2 {
		t.Errorf("%v %+v", err, report)
	}
	for d, err := range f.Deltas().Read(ctx, 300) {
		if err != nil || d.Tick != 300 {
			t.Errorf("first delta from 300 is %d (%v)", d.Tick, err)
		}
		break
	}
	if _, err := f.Log().Get(ctx, 364); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAnImportedLogIsTheExportedOne(t *testing.T) {
	ctx := context.Background()
	s, path := exported(t)
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := NewMemory()
	sum, err := Import(ctx, f, to.Log(), to.Deltas(), to.Snapshots())
	if err != nil || sum.Records != 363 || sum.Deltas != 362 || sum.Snapshots != 2 {
		t.Fatalf("%v %+v", err, sum)
	}
	chain, err := prove(to.Log(), testLineage)
	if err != nil || chain.Hash() != s.chain.Hash() {
		t.Fatal("another history", err)
	}
	if _, err := Import(ctx, f, to.Log(), nil, nil); err == nil || !strings.Contains(err.Error(), "import needs an empty one") {
		t.Error(err)
	}
}

func TestACutFileSaysHowFarItIsIntact(t *testing.T) {
	_, path := exported(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for i := range 40 {
		n := int64(len(whole) - 1 - i*len(whole)/40)
		_, err := ReadFile(bytes.NewReader(whole[:n]), n)
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
		if c.Seq > 1 && c.Tick > 0 {
			named++
			if c.Seq != Seq(c.Tick)+1 && c.Seq != Seq(c.Tick) { // records from 14 on contain tick seq-1
				t.Errorf("cut to %d: record %d, tick %d", n, c.Seq, c.Tick)
			}
		}
	}
	if named < 20 {
		t.Errorf("%d of 40 cuts name record and tick", named)
	}
}

func TestAnAlteredFileIsRefusedWithSequenceAndTick(t *testing.T) {
	ctx := context.Background()
	_, path := exported(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) error {
		f, err := ReadFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		last, _ := f.Log().Last(ctx)
		for _, err := range f.Log().Read(ctx, 1, last) {
			if err != nil {
				return err
			}
		}
		for _, err := range f.Deltas().Read(ctx, 1) {
			if err != nil {
				return err
			}
		}
		all, err := f.Snapshots().List(ctx)
		for _, info := range all {
			if err == nil {
				_, err = f.Snapshots().Get(ctx, info)
			}
		}
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		at := i * len(whole) / 100
		bad := bytes.Clone(whole)
		bad[at] ^= 0x10
		err := read(bad)
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d of %d altered: %v", at, len(whole), err)
		}
		var c *CorruptError
		if errors.As(err, &c) && c.Seq == 0 && c.Tick == 0 && at > 300 && at < len(whole)-4000 {
			t.Errorf("byte %d: no place named: %v", at, err)
		}
	}
}

func TestEveryByteOfAChunksHeaderCounts(t *testing.T) {
	_, path := exported(t)
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(chunkBytes) {
		bad := bytes.Clone(whole)
		bad[f.chunks[chunkLog][1].offset+i] ^= 1
		damaged, err := ReadFile(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			t.Fatal(err) // the index is intact
		}
		c := f.chunks[chunkLog][1]
		_, err = damaged.Log().Get(context.Background(), Seq(c.first))
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Seq != Seq(c.first) || corrupt.Tick != c.tick {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func TestDeltasBeyondTheExportedLogStayBehind(t *testing.T) {
	s := chronicle(t)
	s.delta(wholeDelta(13, 10)) // its record was committed after the log was read
	sum, err := Export(context.Background(), filepath.Join(t.TempDir(), "x.wind"), s.source())
	if err != nil || sum.Deltas != 12 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAFileOfANewerVersionIsNamedWithBoth(t *testing.T) {
	_, path := exported(t)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[8] = 9
	_, err = ReadFile(bytes.NewReader(b), int64(len(b)))
	if err == nil || !strings.Contains(err.Error(), "file has format version 9, this build reads up to 1") {
		t.Error(err)
	}
}

func TestADamagedLogIsNotExported(t *testing.T) {
	for _, d := range damages {
		if d.silent {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			s := chronicle(t)
			d.damage(t, s)
			path := filepath.Join(t.TempDir(), "x.wind")
			src := s.source()
			src.Log = holed{s.m.Log()}
			_, err := Export(context.Background(), path, src)
			var c *CorruptError
			if !errors.As(err, &c) || c.Seq != d.seq || c.Tick != d.tick {
				t.Error(err)
			}
			if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAPurgedLogIsExportedButNotImported(t *testing.T) {
	ctx := context.Background()
	s := chronicle(t)
	s.snapshot()
	if err := s.m.Log().Purge(ctx, 6); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.wind")
	sum, err := Export(ctx, path, s.source())
	if err != nil || sum.First != 6 || sum.Records != 8 {
		t.Fatalf("%v %+v", err, sum)
	}
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := NewMemory()
	if _, err := Import(ctx, f, to.Log(), nil, nil); err == nil || !strings.Contains(err.Error(), "begins with record 6") {
		t.Error(err)
	}
}
