package replication

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

var updateGolden = flag.Bool("update", false, "rewrite testdata/golden.txt")

// goldenType describes a component with one field of every kind.
func goldenSchema() *ecs.Schema {
	kinds := []struct {
		kind  ecs.FieldKind
		width int
		tag   string
	}{
		{ecs.KindBool, 1, ""},
		{ecs.KindI8, 1, ""},
		{ecs.KindU16, 2, ""},
		{ecs.KindI64, 8, ""},
		{ecs.KindF32, 4, ""},
		{ecs.KindF64, 8, ""},
		{ecs.KindF64, 8, "q=0.01,range=-1000..1000"},
		{ecs.KindEntity, 8, ""},
		{ecs.KindText, 17, ""},
		{ecs.KindU32, 4, "-"},
		{ecs.KindI32, 4, "q=10,range=0..1000"},
	}
	all := ecs.Type{Name: "all", Replicated: true}
	for i, k := range kinds {
		all.Fields = append(all.Fields, ecs.Field{Path: fmt.Sprintf("F%d", i), Kind: k.kind, Width: k.width, Count: 1, Offset: all.Size, PackedOffset: all.Packed, Tag: k.tag})
		all.Size += k.width
		all.Packed += k.width
	}
	pair := ecs.Type{Name: "pair", Replicated: true, Size: 8, Packed: 8, Fields: []ecs.Field{
		{Path: "N", Kind: ecs.KindI32, Width: 4, Count: 2, Array: true},
	}}
	tag := ecs.Type{Name: "tag", Replicated: true}
	score := ecs.Type{Name: "score", Replicated: true, Size: 4, Packed: 4, Fields: []ecs.Field{{Path: "N", Kind: ecs.KindI32, Width: 4, Count: 1}}}
	return &ecs.Schema{Components: []ecs.Type{all, pair, tag}, Resources: []ecs.Type{score}}
}

// goldenStates returns a base and a later state, with values that changed and values that did not, and entities
// that came, died, left and got other components.
func goldenStates(t testing.TB, l *layout) (base, next *state) {
	t.Helper()
	shape := func(mask uint64) uint32 {
		n, err := l.shape(mask)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// bool, i8, u16, i64 (2), f32, f64 (2), quantised, entity (2), text (5), quantised
	full := []uint32{1, 0xFFFFFFFB, 600, 0xFFFFFFFF, 0xFFFFFFFF, 0x3F800000, 0, 0x3FF80000, 100123, 9, 1, 4, 0x646E6977, 0, 0, 0, 42}
	other := []uint32{0, 0xFFFFFFFB, 601, 0, 1, 0x40490FDB, 0x9999999A, 0x3FB99999, 100100, 0, 0, 2, 0x6261, 0, 0, 0, 100}
	put := func(s *state, id, gen uint32, sh uint32, words ...uint32) {
		copy(s.extend(ent{key: keyOf(id, gen), shape: sh}, l), words)
	}
	base, next = &state{version: 100}, &state{version: 103}
	put(base, 0, 1, 0, 7)
	put(base, 3, 0, shape(0b010), 1, 2)
	put(base, 4, 0, shape(0b010), 5, 6)
	put(base, 5, 2, shape(0b111), append(full, 10, 20)...)
	put(base, 8, 0, shape(0b100))
	put(base, 9, 0, shape(0b010), 1, 1)
	put(base, 12, 0, shape(0b001), full...)

	put(next, 0, 1, 0, 9)
	put(next, 3, 0, shape(0b010), 1, 2)
	put(next, 4, 0, shape(0b010), 5, 1000006)
	put(next, 5, 2, shape(0b111), append(other, 10, 20)...)
	put(next, 8, 1, shape(0b100))                        // another of the same slot
	put(next, 9, 0, shape(0b011), append(full, 1, 1)...) // it got a component
	put(next, 300, 0, shape(0b011), append(other, 3, 4)...)
	return base, next
}

// goldenFate says that 8 of generation 1 was spawned, 8 of generation 0 died, and 12 went elsewhere.
type goldenFate struct{}

func (goldenFate) spawned(key, _, _ uint64) bool { return key == keyOf(8, 1) }
func (goldenFate) despawned(key uint64) bool     { return key == keyOf(8, 0) }

// TestGoldenBytes: the format has not changed. `go test -update` rewrites the file, only for a new codec version.
func TestGoldenBytes(t *testing.T) {
	l, err := newLayout(goldenSchema())
	if err != nil {
		t.Fatal(err)
	}
	base, next := goldenStates(t, l)
	whole := bitpack{}.append(nil, l, emptyState, next, goldenFate{})
	step := bitpack{}.append(nil, l, base, next, goldenFate{})
	h := header{codec: CodecBits, epoch: 3, stream: 2, seq: 300, tick: 1000, area: area{-2, 5, 3}}
	k := blockHead{segKey: segKey{cellKey{x: -3, y: 7}, 2, 1}, version: 990, base: 985}
	piece := blockHead{segKey: segKey{cellKey: cellKey{global: true}}, version: 1000, piece: 1, pieces: 3}
	packet := appendBytes(piece.append(appendBytes(k.append(h.append(nil), &h), []byte("body")), &h), []byte("piece"))
	var a acks
	for _, seq := range []uint64{298, 297, 300, 290} {
		a.add(seq)
	}
	got := fmt.Sprintf("whole %x\nstep %x\npacket %x\nack %x\n", whole, step, packet, appendAck(nil, 3, 2, a))
	const file = "testdata/golden.txt"
	if *updateGolden {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("bytes are\n%swant\n%s", got, want)
	}
	for line := range strings.Lines(string(want)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		goldenBack(t, l, name, b, base, next)
	}
}

// goldenBack checks that decoding the golden bytes inverts encoding.
func goldenBack(t *testing.T, l *layout, name string, b []byte, base, next *state) {
	t.Helper()
	switch name {
	case "packet":
		p := parser{b: b}
		h := p.header()
		k1, body1 := p.block(&h)
		k2, body2 := p.block(&h)
		if p.err != nil || h.tick != 1000 || h.area != (area{-2, 5, 3}) || k1.x != -3 || k1.y != 7 || k1.segment != 1 || k1.base != 985 ||
			k2.piece != 1 || k2.pieces != 3 || !k2.global || !bytes.Equal(body1, []byte("body")) || !bytes.Equal(body2, []byte("piece")) {
			t.Fatalf("packet reads as %+v, %+v, %+v, %v", h, k1, k2, p.err)
		}
	case "whole", "step":
		if name == "whole" {
			base = emptyState
		}
		var out state
		var news news
		if err := (bitpack{}).read(b, l, base, &out, 1<<20, &news); err != nil {
			t.Fatal(err)
		}
		if d := differ(l, &out, next); d != "" {
			t.Fatalf("%s: %s", name, d)
		}
		if len(news.spawned) != 1 || news.spawned[0] != keyOf(8, 1) {
			t.Fatalf("%s: spawned %v", name, news.spawned)
		}
		if name == "step" && (len(news.despawned) != 1 || news.despawned[0] != keyOf(8, 0)) {
			t.Fatalf("%s: despawned %v", name, news.despawned)
		}
	}
}

// differ describes where two states differ, ignoring the order of their rows.
func differ(l *layout, a, b *state) string {
	if len(a.ents) != len(b.ents) {
		return fmt.Sprintf("%d entities, want %d", len(a.ents), len(b.ents))
	}
	for i := range a.ents {
		x, y := a.ents[i], b.ents[i]
		if x.key != y.key || x.shape != y.shape {
			return fmt.Sprintf("entity %d is %x of shape %d, want %x of %d", i, x.key, x.shape, y.key, y.shape)
		}
		n := uint32(l.shapes[x.shape].words)
		if !equal(a.words[x.at:x.at+n], b.words[y.at:y.at+n]) {
			return fmt.Sprintf("entity %x is %x, want %x", x.key, a.words[x.at:x.at+n], b.words[y.at:y.at+n])
		}
	}
	return ""
}
