package persistence

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/vmihailenco/msgpack/v5"
)

var update = flag.Bool("update", false, "rewrite the golden bytes in testdata")

func sampleRecords() map[string]*Record {
	prev := Hash{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	return map[string]*Record{
		"genesis": {Kind: KindGenesis, Seq: 1, Epoch: 1, Genesis: &Genesis{
			Lineage: testLineage, Cluster: "dev", Shard: "main", Game: "drift",
			Options: []byte(`{"size":100}`), Seed: 0xfeedfacecafebeef, TickRate: 30, Schema: []byte(`{"components":[]}`), Build: testBuild,
		}},
		"epoch": {Kind: KindEpoch, Seq: 2, Epoch: 3, Prev: prev, EpochStart: &EpochStart{Node: "node-1", Build: testBuild, Schema: []byte{}, From: 804}},
		"ticks": {Kind: KindTicks, Seq: 812, Epoch: 3, Prev: prev, Ticks: []TickRecord{{Tick: 805, Frame: []byte{1, 2, 3}, Checksum: 0x0123456789abcdef}}},
		"seal": {Kind: KindSeal, Seq: 813, Epoch: 3, Prev: prev, Seal: &Seal{
			Node: "node-1", Tick: 805, Reason: EndResult, Result: &ecs.Message{To: ecs.EndAddress, Name: "score", Payload: []byte{3, 0, 0, 0}},
		}},
		"seal-closed": {Kind: KindSeal, Seq: 813, Epoch: 3, Prev: prev, Seal: &Seal{Node: "node-1", Tick: 805, Reason: EndClosed, By: "game/game-1"}},
		"ticks-full": {Kind: KindTicks, Seq: 1 << 33, Epoch: 300, Prev: prev, Ticks: []TickRecord{
			{Tick: 70000, Frame: []byte{}, Checksum: 1},
			{
				Tick: 70001, Frame: bytes.Repeat([]byte{7}, 300), Checksum: 1<<64 - 1,
				Outbox:   []ecs.Message{{To: "main-2", Name: "transfer", N: 4, Payload: []byte("hello")}, {To: "", Name: "score", N: 0, Payload: []byte{}}},
				Failures: []ecs.Failure{{System: "move", Command: -1, Reason: "index out of range [5] with length 3"}, {System: "arena.fire", Command: 3, Rejected: true, Reason: "cooldown"}},
			},
		}},
	}
}

func sampleDeltas() map[string]*Delta {
	return map[string]*Delta{
		"delta":      {Lineage: testLineage, Epoch: 3, RecordSeq: 812, Tick: 805, Checksum: 0x0123456789abcdef, Part: 1, Parts: 1, Body: []byte{1, 2, 3, 4}},
		"delta-part": {Lineage: testLineage, Epoch: 3, RecordSeq: 812, Tick: 805, Checksum: 0x0123456789abcdef, Part: 2, Parts: 5, Body: []byte{}},
		"gap":        {Lineage: testLineage, Epoch: 4, RecordSeq: 900, Tick: 890, Checksum: 9, Part: 1, Parts: 1, Gap: &Gap{FromTick: 880, ToTick: 890, Reason: "the node died before it published them"}},
	}
}

func sampleSnapshot() *Snapshot {
	return &Snapshot{
		Lineage: testLineage, Cluster: "dev", Shard: "main", Seq: 812, Epoch: 3, Tick: 805, Checksum: 0x0123456789abcdef,
		Chain: HashOf([]byte("record 812")), Schema: []byte(`{"components":[]}`), Body: bytes.Repeat([]byte("world "), 200),
	}
}

// golden compares b with the bytes of testdata/<name>.hex.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(path, []byte(hexLines(b)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := readGolden(t, name); !bytes.Equal(b, want) {
		t.Errorf("%s: the bytes have changed; that is a new format version.\nhave\n%swant\n%s", name, hexLines(b), hexLines(want))
	}
}

func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hexLines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(len(b), 32)
		s.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return s.String()
}

func TestRecordBytesAreGolden(t *testing.T) {
	for name, r := range sampleRecords() {
		b, err := r.Encode(nil)
		if err != nil {
			t.Fatal(name, err)
		}
		golden(t, "record-"+name, b)
		back, err := DecodeRecord(readGolden(t, "record-"+name))
		if err != nil {
			t.Fatal(name, err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Errorf("%s: decoded\n%+v\nwant\n%+v", name, back, r)
		}
	}
}

func TestDeltaBytesAreGolden(t *testing.T) {
	for name, d := range sampleDeltas() {
		b, err := d.Encode(nil)
		if err != nil {
			t.Fatal(name, err)
		}
		golden(t, name, b)
		back, err := DecodeDelta(readGolden(t, name))
		if err != nil {
			t.Fatal(name, err)
		}
		if !reflect.DeepEqual(&back, d) {
			t.Errorf("%s: decoded\n%+v\nwant\n%+v", name, back, d)
		}
	}
}

// The compressed body of a snapshot may change with the compressor, but the golden
// bytes must remain readable.
func TestSnapshotBytesAreGolden(t *testing.T) {
	s := sampleSnapshot()
	b, err := s.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		golden(t, "snapshot", b)
	}
	for _, b := range [][]byte{b, readGolden(t, "snapshot")} {
		back, err := DecodeSnapshot(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&back, s) {
			t.Errorf("decoded\n%+v\nwant\n%+v", back, s)
		}
	}
}

// Any msgpack reader must be able to read an envelope without our code.
func TestEnvelopesDescribeThemselves(t *testing.T) {
	var m map[string]any
	if err := msgpack.Unmarshal(readGolden(t, "record-ticks-full"), &m); err != nil {
		t.Fatal(err)
	}
	tick := m["ticks"].([]any)[1].(map[string]any)
	failure := tick["failures"].([]any)[0].(map[string]any)
	if m["kind"] != "ticks" || tick["check"] != uint64(1<<64-1) || failure["system"] != "move" {
		t.Errorf("a generic reader sees %v", m)
	}
	for _, name := range []string{"record-genesis", "record-epoch", "record-ticks", "delta", "delta-part", "delta-packed-1", "deltas", "gap", "snapshot"} {
		var m map[string]any
		if err := msgpack.Unmarshal(readGolden(t, name), &m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashOfGoldenRecordIsFixed(t *testing.T) {
	if h := HashOf(readGolden(t, "record-ticks")).String(); h != goldenHash {
		t.Errorf("hash %s, want %s", h, goldenHash)
	}
}

const goldenHash = "ca489c236815b5b6ba514a73bdd61823"
