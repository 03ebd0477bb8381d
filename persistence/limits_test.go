package persistence

import (
	"bytes"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// envelope is anything with an encoder and a decoder.
type envelope interface{ Encode([]byte) ([]byte, error) }

func decodedAgain(e envelope, b []byte) (any, error) {
	switch e.(type) {
	case *Record:
		return DecodeRecord(b)
	case *Delta:
		d, err := DecodeDelta(b)
		return &d, err
	case *FileInfo:
		i, err := decodeInfo(b)
		return &i, err
	}
	s, err := DecodeSnapshot(b)
	return &s, err
}

// Encode makes the description of a file an envelope, for this test.
func (i *FileInfo) Encode(dst []byte) ([]byte, error) {
	b, err := i.encode()
	if err != nil {
		return dst, err
	}
	return append(dst, b...), nil
}

func letters(n int) string { return strings.Repeat("x", n) }

func genesisWith(change func(*Genesis)) envelope {
	g := &Genesis{Lineage: "l", Cluster: "c", Shard: "s", Game: "g", Options: []byte("{}"), TickRate: 30, Schema: []byte("{}")}
	change(g)
	return &Record{Kind: KindGenesis, Seq: 1, Genesis: g}
}

func epochWith(change func(*EpochStart)) envelope {
	s := &EpochStart{Node: "n", Schema: []byte("{}")}
	change(s)
	return &Record{Kind: KindEpoch, Seq: 2, EpochStart: s}
}

func tickWith(change func(*TickRecord)) envelope {
	t := TickRecord{Tick: 1, Frame: []byte{1}}
	change(&t)
	return &Record{Kind: KindTicks, Seq: 3, Ticks: []TickRecord{t}}
}

func deltaWith(change func(*Delta)) envelope {
	d := &Delta{Lineage: "l", RecordSeq: 1, Tick: 1, Part: 1, Parts: 1, Body: []byte{1}}
	change(d)
	return d
}

func snapshotWith(change func(*Snapshot)) envelope {
	s := &Snapshot{Lineage: "l", Cluster: "c", Shard: "s", Seq: 1, Schema: []byte("{}"), Body: []byte{1}}
	change(s)
	return s
}

// spare returns how many bytes of data an envelope can contain at most, given its overhead.
func spare(e envelope, has, most int) int {
	b, err := e.Encode(nil)
	if err != nil {
		panic(err)
	}
	return most - (len(b) - has)
}

// TestLimitsAreKeptOnBothSides: readers read what a writer wrote at each limit. One above the limit the writer refuses and
// names what is too large. The tests of the readers cover what readers refuse.
func TestLimitsAreKeptOnBothSides(t *testing.T) {
	whole := func(n int) envelope { return tickWith(func(t *TickRecord) { t.Frame = make([]byte, n) }) }
	message := func(n int) envelope { return deltaWith(func(d *Delta) { d.Body = make([]byte, n) }) }
	const some = 1 << 20 // its length takes as many bytes as the largest
	for _, x := range []struct {
		says string
		most int
		make func(n int) envelope
	}{
		{"lineage", maxLineage, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Lineage = letters(n) }) }},
		{"name", ecs.MaxName, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Cluster = letters(n) }) }},
		{"name", ecs.MaxName, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Shard = letters(n) }) }},
		{"game", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Game = letters(n) }) }},
		{"options", maxSchemaBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Options = make([]byte, n) }) }},
		{"schema", maxSchemaBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Schema = make([]byte, n) }) }},
		{"tick rate", 240, func(n int) envelope { return genesisWith(func(g *Genesis) { g.TickRate = n }) }},
		{"id", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Build.ID = letters(n) }) }},
		{"go", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Build.GoVersion = letters(n) }) }},
		{"os", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Build.GOOS = letters(n) }) }},
		{"arch", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Build.GOARCH = letters(n) }) }},
		{"amd64", maxNameBytes, func(n int) envelope { return genesisWith(func(g *Genesis) { g.Build.GOAMD64 = letters(n) }) }},
		{"node", maxNameBytes, func(n int) envelope { return epochWith(func(s *EpochStart) { s.Node = letters(n) }) }},
		{"schema", maxSchemaBytes, func(n int) envelope { return epochWith(func(s *EpochStart) { s.Schema = make([]byte, n) }) }},
		{"ticks", MaxTicks, func(n int) envelope {
			r := &Record{Kind: KindTicks, Seq: 3}
			for i := range n {
				r.Ticks = append(r.Ticks, TickRecord{Tick: uint64(i) + 1, Frame: []byte{}})
			}
			return r
		}},
		{"outbox", MaxOutbox, func(n int) envelope {
			return tickWith(func(t *TickRecord) {
				for i := range n {
					t.Outbox = append(t.Outbox, ecs.Message{N: uint32(i), Payload: []byte{}})
				}
			})
		}},
		{"failures", MaxOutbox, func(n int) envelope { return tickWith(func(t *TickRecord) { t.Failures = make([]ecs.Failure, n) }) }},
		{"to", maxNameBytes, func(n int) envelope {
			return tickWith(func(t *TickRecord) { t.Outbox = []ecs.Message{{To: letters(n), Payload: []byte{}}} })
		}},
		{"name", maxNameBytes, func(n int) envelope {
			return tickWith(func(t *TickRecord) { t.Outbox = []ecs.Message{{Name: letters(n), Payload: []byte{}}} })
		}},
		{"bytes", spare(whole(some), some, MaxRecordBytes), whole},
		{"lineage", maxLineage, func(n int) envelope { return deltaWith(func(d *Delta) { d.Lineage = letters(n) }) }},
		{"part", MaxParts, func(n int) envelope { return deltaWith(func(d *Delta) { d.Part, d.Parts = n, n }) }},
		{"split it", spare(message(some), some, MaxDeltaBytes), message},
		{"lineage", maxLineage, func(n int) envelope { return snapshotWith(func(s *Snapshot) { s.Lineage = letters(n) }) }},
		{"name", ecs.MaxName, func(n int) envelope { return snapshotWith(func(s *Snapshot) { s.Cluster = letters(n) }) }},
		{"name", ecs.MaxName, func(n int) envelope { return snapshotWith(func(s *Snapshot) { s.Shard = letters(n) }) }},
		{"schema", maxSchemaBytes, func(n int) envelope { return snapshotWith(func(s *Snapshot) { s.Schema = make([]byte, n) }) }},
		{"body", MaxSnapshotBytes, func(n int) envelope { return snapshotWith(func(s *Snapshot) { s.Body = make([]byte, n) }) }},
		{"lineage", maxLineage, func(n int) envelope { return &FileInfo{Lineage: letters(n)} }},
		{"cluster", ecs.MaxName, func(n int) envelope { return &FileInfo{Cluster: letters(n)} }},
		{"shard", ecs.MaxName, func(n int) envelope { return &FileInfo{Shard: letters(n)} }},
		{"game", maxNameBytes, func(n int) envelope { return &FileInfo{Game: letters(n)} }},
		{"rate", 240, func(n int) envelope { return &FileInfo{TickRate: n} }},
	} {
		if x.most < MaxSnapshotBytes || os.Getenv("WIND_LONG") != "" { // a GiB takes long
			e := x.make(x.most)
			b, err := e.Encode(nil)
			if err != nil {
				t.Errorf("%T: %s of %d: %v", e, x.says, x.most, err)
				continue
			}
			if again, err := decodedAgain(e, b); err != nil || !reflect.DeepEqual(again, e) {
				t.Errorf("%T: %s of %d is written but not read: %v", e, x.says, x.most, err)
			}
		}
		e := x.make(x.most + 1)
		if b, err := e.Encode([]byte("kept")); err == nil || !strings.Contains(err.Error(), x.says) || (string(b) != "kept" && b != nil) {
			t.Errorf("%T: %s of %d: %v", e, x.says, x.most+1, err)
		}
	}
}

// TestLongWordsAreCut: the writer cuts texts that only people read. It omits the place of a panic.
func TestLongWordsAreCut(t *testing.T) {
	failure := ecs.Failure{System: letters(maxNameBytes + 1), Command: 5, Reason: letters(maxTextBytes + 1), Place: "arena.fire (arena/fire.go:42)"}
	b, err := tickWith(func(t *TickRecord) { t.Failures = []ecs.Failure{failure} }).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	want := ecs.Failure{System: letters(maxNameBytes), Command: 5, Reason: letters(maxTextBytes)}
	if got := r.Ticks[0].Failures; len(got) != 1 || got[0] != want || bytes.Contains(b, []byte("fire.go")) {
		t.Errorf("%+v", got)
	}
	gap := Delta{Lineage: "l", RecordSeq: 1, Tick: 9, Gap: &Gap{FromTick: 1, ToTick: 9, Reason: letters(maxTextBytes + 1)}}
	if b, err = gap.Encode(nil); err != nil {
		t.Fatal(err)
	}
	if d, err := DecodeDelta(b); err != nil || d.Gap.Reason != letters(maxTextBytes) {
		t.Error(err)
	}
}

// TestCompressedBodiesOfAllSizesComeBack: around the window's size, within which the decoder looks back.
func TestCompressedBodiesOfAllSizesComeBack(t *testing.T) {
	for _, n := range []int{0, 1, maxWindow - 1, maxWindow, maxWindow + 1, 2*maxWindow + 1} {
		body := make([]byte, n)
		for i := range body {
			body[i] = byte(i * i >> 7)
		}
		if got, err := decompress(compress(nil, body), n); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestAFileRefusesWhatItsReaderWould: deltas out of order, a negative rate.
func TestAFileRefusesWhatItsReaderWould(t *testing.T) {
	if _, err := NewFileWriter(io.Discard, FileInfo{TickRate: -1}); err == nil || !strings.Contains(err.Error(), "the tick rate is -1") {
		t.Error(err)
	}
	w, err := NewFileWriter(io.Discard, FileInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tick := range []uint64{4, 5, 5} {
		if err := w.Delta(Delta{Lineage: "l", RecordSeq: 1, Tick: tick}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Delta(Delta{Lineage: "l", RecordSeq: 1, Tick: 4}); err == nil || !strings.Contains(err.Error(), "tick 4 cannot follow that of tick 5") {
		t.Error(err)
	}
}

func TestAPartBeyondAllIsRefused(t *testing.T) {
	b, err := deltaWith(func(d *Delta) { d.Part, d.Parts = 1, 2 }).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	from, to := []byte("\xa4part\x01"), []byte("\xa4part\xcf\x00\x00\x00\x01\x00\x00\x00\x01") // 2^32 + 1
	if _, err := DecodeDelta(resealed(bytes.Replace(b, from, to, 1))); err == nil || !strings.Contains(err.Error(), "part is 4294967297") {
		t.Error(err)
	}
}
