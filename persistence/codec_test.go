package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

// resealed returns b with a correct sum, so that a decoder gets past the sum to
// what is wrong in b.
func resealed(b []byte) []byte {
	if len(b) < tailBytes {
		return b
	}
	b = bytes.Clone(b)
	end := len(b) - sumBytes
	copy(b[len(b)-tailBytes:], "\xa3sum\xcf")
	binary.BigEndian.PutUint64(b[end:], xxh3.Hash(b[:end]))
	return b
}

var decoderOf = map[string]func([]byte) error{
	"record":   func(b []byte) error { _, err := DecodeRecord(b); return err },
	"delta":    func(b []byte) error { _, err := DecodeDeltas(b); return err },
	"snapshot": func(b []byte) error { _, err := DecodeSnapshot(b); return err },
}

var goldenOf = map[string][]string{
	"record":   {"record-genesis", "record-epoch", "record-ticks", "record-ticks-full", "record-seal", "record-seal-closed"},
	"delta":    {"delta", "delta-part", "gap", "delta-packed-1", "delta-packed-3", "deltas"},
	"snapshot": {"snapshot"},
}

// everyGolden calls f with each decoder and each of its golden files.
func everyGolden(t *testing.T, f func(t *testing.T, decode func([]byte) error, b []byte)) {
	for what, names := range goldenOf {
		for _, name := range names {
			t.Run(name, func(t *testing.T) { f(t, decoderOf[what], readGolden(t, name)) })
		}
	}
}

func TestAnyAlteredByteIsRefused(t *testing.T) {
	everyGolden(t, func(t *testing.T, decode func([]byte) error, b []byte) {
		for i := range b {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(b)
				bad[i] ^= bit
				if err := decode(bad); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("byte %d altered: %v", i, err)
				}
			}
		}
	})
}

func TestAnyCutIsRefused(t *testing.T) {
	everyGolden(t, func(t *testing.T, decode func([]byte) error, b []byte) {
		for n := range b {
			if err := decode(b[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			if err := decode(resealed(b[:n])); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut to %d bytes and sealed: %v", n, err)
			}
		}
		if err := decode(resealed(append(bytes.Clone(b), b[len(b)-tailBytes:]...))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("bytes after the end: %v", err)
		}
	})
}

func TestANewerVersionIsNamedWithBoth(t *testing.T) {
	newest := map[string]int{"record": sealVersion, "delta": runVersion, "snapshot": FormatVersion}
	for what, names := range goldenOf {
		for _, name := range names {
			bad := readGolden(t, name)
			bad[3] = 7 // after the map's code and the key "v"
			err := decoderOf[what](resealed(bad))
			var v *VersionError
			if !errors.As(err, &v) || !errors.Is(err, ErrVersion) || v.Found != 7 || v.Known != newest[what] {
				t.Fatal(name, err)
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("format version 7, this build reads up to %d: use a newer build", newest[what])) {
				t.Error(name, err)
			}
			bad[3] = 0
			if err := decoderOf[what](resealed(bad)); !errors.Is(err, ErrVersion) {
				t.Errorf("%s, version 0: %v", name, err)
			}
		}
	}
}

func TestChainNamesThePlaceOfANewerVersion(t *testing.T) {
	s := chronicle(t)
	m := s.m.at(5)
	m.Body = bytes.Clone(m.Body)
	m.Body[3] = sealVersion + 1
	m.Body = resealed(m.Body)
	_, err := prove(s.m.Log(), "")
	var v *VersionError
	if !errors.As(err, &v) || v.Seq != 5 || v.Tick != 3 {
		t.Fatal(err)
	}
}

func TestAnUnknownKeyIsRefused(t *testing.T) {
	b := bytes.Replace(readGolden(t, "record-ticks"), []byte("\xa5frame"), []byte("\xa5trick"), 1)
	if err := decoderOf["record"](resealed(b)); err == nil || !strings.Contains(err.Error(), `key "trick" where "frame" was expected`) {
		t.Error(err)
	}
}

func TestWhatCannotBeReadBackIsNotWritten(t *testing.T) {
	long := strings.Repeat("x", maxNameBytes+1)
	tick := func(f func(*TickRecord)) *Record {
		r := &Record{Kind: KindTicks, Seq: 2, Ticks: ticksFrom(1, 1)}
		f(&r.Ticks[0])
		return r
	}
	genesis := func(f func(*Genesis)) *Record {
		g := *sampleRecords()["genesis"].Genesis
		f(&g)
		return &Record{Kind: KindGenesis, Seq: 1, Genesis: &g}
	}
	bad := map[string]*Record{
		"sequence 0":         {Kind: KindTicks, Ticks: ticksFrom(1, 1)},
		"no ticks":           {Kind: KindTicks, Seq: 2},
		"tick 0":             {Kind: KindTicks, Seq: 2, Ticks: ticksFrom(0, 2)},
		"too many ticks":     {Kind: KindTicks, Seq: 2, Ticks: ticksFrom(1, MaxTicks+1)},
		"ticks with a hole":  {Kind: KindTicks, Seq: 2, Ticks: append(ticksFrom(1, 1), ticksFrom(3, 1)...)},
		"two things":         {Kind: KindTicks, Seq: 2, Ticks: ticksFrom(1, 1), EpochStart: &EpochStart{Node: "n"}},
		"nothing":            {Kind: KindEpoch, Seq: 2},
		"unknown kind":       {Kind: 9, Seq: 2},
		"node without name":  {Kind: KindEpoch, Seq: 2, EpochStart: &EpochStart{}},
		"cluster with a dot": genesis(func(g *Genesis) { g.Cluster = "a.b" }),
		"long shard":         genesis(func(g *Genesis) { g.Shard = strings.Repeat("a", 41) }),
		"tick rate 0":        genesis(func(g *Genesis) { g.TickRate = 0 }),
		"tick rate 241":      genesis(func(g *Genesis) { g.TickRate = 241 }),
		"lineage with space": genesis(func(g *Genesis) { g.Lineage = "a b" }),
		"long build id":      genesis(func(g *Genesis) { g.Build.ID = long }),
		"long outbox name":   tick(func(t *TickRecord) { t.Outbox = []ecs.Message{{Name: long}} }),
		"too large":          tick(func(t *TickRecord) { t.Frame = make([]byte, MaxRecordBytes) }),
	}
	for name, r := range bad {
		dst := []byte("before")
		b, err := r.Encode(dst)
		if err == nil || string(b) != "before" {
			t.Errorf("%s: encoded as %x (%v)", name, b, err)
		}
	}
	for name, d := range map[string]*Delta{
		"tick 0":       {Lineage: "l", RecordSeq: 1},
		"no lineage":   {RecordSeq: 1, Tick: 1},
		"part 3 of 2":  {Lineage: "l", RecordSeq: 1, Tick: 1, Part: 3, Parts: 2},
		"gap backward": {Lineage: "l", RecordSeq: 1, Tick: 1, Gap: &Gap{FromTick: 2, ToTick: 1}},
		"gap and body": {Lineage: "l", RecordSeq: 1, Tick: 1, Gap: &Gap{FromTick: 1, ToTick: 1}, Body: []byte{1}},
	} {
		if _, err := d.Encode(nil); err == nil {
			t.Errorf("delta, %s: encoded", name)
		}
	}
}

func TestALongPanicIsLoggedShortened(t *testing.T) {
	r := &Record{Kind: KindTicks, Seq: 2, Ticks: ticksFrom(1, 1)}
	r.Ticks[0].Failures = []ecs.Failure{{System: "move", Reason: strings.Repeat("é\xff", maxTextBytes)}}
	b, err := r.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Ticks[0].Failures[0].Reason; len(got) > maxTextBytes || !strings.HasPrefix(got, "éé") {
		t.Errorf("%d bytes: %.20q", len(got), got)
	}
}

func TestDecodeRecordInvertsEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		b, err := r.Encode([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeRecord(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Fatalf("decoded\n%+v\nwant\n%+v", back, r)
		}
	})
}

func drawRecord(t *rapid.T) *Record {
	bin := rapid.SliceOfN(rapid.Byte(), 0, 300)
	name := rapid.StringN(0, 20, 80)
	r := &Record{Kind: KindTicks, Seq: Seq(rapid.Uint64Range(1, 1<<63).Draw(t, "seq")), Epoch: Epoch(rapid.Uint64().Draw(t, "epoch"))}
	copy(r.Prev[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "prev"))
	first := rapid.Uint64Range(1, 1<<62).Draw(t, "first")
	for i := range rapid.IntRange(1, MaxTicks).Draw(t, "ticks") {
		tick := TickRecord{Tick: first + uint64(i), Checksum: rapid.Uint64().Draw(t, "checksum"), Frame: bin.Draw(t, "frame")}
		for range rapid.IntRange(0, 3).Draw(t, "outbox") {
			tick.Outbox = append(tick.Outbox, ecs.Message{To: name.Draw(t, "to"), Name: name.Draw(t, "name"), N: rapid.Uint32().Draw(t, "n"), Payload: bin.Draw(t, "payload")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "failures") {
			tick.Failures = append(tick.Failures, ecs.Failure{
				System: name.Draw(t, "system"), Command: rapid.IntRange(-1, 1<<20).Draw(t, "command"),
				Rejected: rapid.Bool().Draw(t, "rejected"), Reason: name.Draw(t, "reason"),
			})
		}
		r.Ticks = append(r.Ticks, tick)
	}
	return r
}

func TestASmallRecordCostsLittle(t *testing.T) {
	r := &Record{Kind: KindTicks, Seq: 100000, Epoch: 3, Ticks: []TickRecord{{Tick: 100000, Frame: []byte{1, 2}, Checksum: 1}}}
	b, err := r.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if overhead := len(b) - 2; overhead > 110 {
		t.Errorf("%d bytes besides the frame", overhead)
	}
	if size := r.Header().Size(); size > 130 {
		t.Errorf("%d bytes of headers", size)
	}
}

func TestHeadersAreReadableAndComeBack(t *testing.T) {
	for _, want := range []Header{
		{Kind: "ticks", FirstTick: 812, LastTick: 812, Epoch: 3, Checksum: 0xabc, Version: 1},
		{Kind: "ticks", FirstTick: 805, LastTick: 812, Epoch: 3, Checksum: 1<<64 - 1, Version: 1},
		{Kind: "delta", FirstTick: 9, LastTick: 9, Epoch: 1, Version: 1, Part: 2, Parts: 5},
		DeltasHeader(sampleRun()),
	} {
		h := map[string]string{}
		for k, v := range want.Each {
			h[k] = v
		}
		have, err := ParseHeader(func(k string) string { return h[k] })
		if err != nil || have != want {
			t.Errorf("%v became %+v (%v)", h, have, err)
		}
	}
	h := map[string]string{}
	for k, v := range (Header{Kind: "ticks", FirstTick: 805, LastTick: 812, Epoch: 3, Checksum: 0xabc, Version: 1}).Each {
		h[k] = v
	}
	if h[HeaderTick] != "805-812" || h[HeaderChecksum] != "0000000000000abc" || h[HeaderEpoch] != "3" || len(h) != 5 {
		t.Error(h)
	}
	h[HeaderTick] = "8x"
	if _, err := ParseHeader(func(k string) string { return h[k] }); err == nil || !strings.Contains(err.Error(), `Wind-Tick is "8x"`) {
		t.Error(err)
	}
}
