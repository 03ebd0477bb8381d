package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// stored returns the ticks of a stream's deltas in order, and their bodies by tick.
func stored(t testing.TB, from DeltaReader, tick uint64) (ticks []uint64, bodies map[uint64][]byte) {
	t.Helper()
	bodies = map[uint64][]byte{}
	for d, err := range from.Read(context.Background(), tick) {
		if err != nil {
			t.Fatal(err)
		}
		if d.Group != 0 || d.Size != 0 {
			t.Fatalf("tick %d is not unpacked", d.Tick)
		}
		ticks, bodies[d.Tick] = append(ticks, d.Tick), d.Body
	}
	return ticks, bodies
}

// TestAReaderBeginsAtAnyTick: wherever in its group the tick is, and whether its delta is in parts or whole.
func TestAReaderBeginsAtAnyTick(t *testing.T) {
	for _, payload := range []int{1 << 20, 1200} {
		v := sail(t, 1)
		v.m.MaxPayloadBytes = payload
		for v.world.Tick() < 170 {
			v.record(1 + int(v.world.Tick()%3))
		}
		ticks, bodies := stored(t, v.m.Deltas(), 0)
		if len(ticks) < 170 {
			t.Fatalf("%d ticks", len(ticks))
		}
		path := filepath.Join(t.TempDir(), "x.wind")
		if _, err := Export(context.Background(), path, v.source()); err != nil {
			t.Fatal(err)
		}
		file, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for name, from := range map[string]DeltaReader{"stream": v.m.Deltas(), "file": file.Deltas()} {
			for first := uint64(1); first <= 171; first += 5 {
				got, part := stored(t, from, first)
				if len(got) != len(ticks)-int(first)+1 || len(got) > 0 && got[0] != first {
					t.Fatalf("%s from tick %d: %d ticks, from %v", name, first, len(got), got)
				}
				for tick, b := range part {
					if !bytes.Equal(b, bodies[tick]) {
						t.Fatalf("%s from tick %d: tick %d has another body", name, first, tick)
					}
				}
			}
		}
	}
}

// TestPackedBodiesAreThoseOfTheTicks: every body read from the stream equals the re-simulated one (Check compares them),
// and packing at least halves the bodies of this game.
func TestPackedBodiesAreThoseOfTheTicks(t *testing.T) {
	v := sail(t, 400)
	finds(t, checkWith(t, v.source(), drift(0)))
	plain, packed := 0, 0
	for d, err := range v.m.Deltas().Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		plain, packed = plain+len(d.Body), packed+d.PackedBytes
	}
	if packed == 0 || 2*packed > plain {
		t.Errorf("%d bytes packed, %d bytes plain", packed, plain)
	}
}

// TestASuccessorBeginsAGroup: wherever its predecessor stopped, even in the middle of a group or of a tick.
func TestASuccessorBeginsAGroup(t *testing.T) {
	for _, cut := range []int{0, 1, 2} { // messages of its last tick that the predecessor could not publish
		ctx := context.Background()
		m := NewMemory()
		m.MaxPayloadBytes = 1200
		old := m.Deltas()
		var all []Delta
		for tick := uint64(1); tick <= 12; tick++ {
			all = append(all, wholeDelta(tick, 2000)) // a little more than two parts
		}
		if err := old.Publish(ctx, all[:10]); err != nil {
			t.Fatal(err)
		}
		m.deltas = m.deltas[:len(m.deltas)-cut]
		fresh := m.Deltas()
		last, _, err := fresh.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		through := last.Tick
		if last.Part != last.Parts {
			through--
		}
		rest := all[through:]
		for i := range rest {
			rest[i].Epoch = 2
		}
		if err := fresh.Publish(ctx, rest); err != nil {
			t.Fatal(err)
		}
		ticks, bodies := stored(t, m.Deltas(), 0)
		if len(ticks) != 12 {
			t.Fatalf("cut %d: ticks %v", cut, ticks)
		}
		for i, tick := range ticks {
			if tick != uint64(i+1) || !bytes.Equal(bodies[tick], all[i].Body) {
				t.Fatalf("cut %d: tick %d in place %d", cut, tick, i)
			}
		}
	}
}

// TestALeanPackerIsReadLikeAnyOther packs deltas that grow and shrink: they are compressed only while they are large.
func TestALeanPackerIsReadLikeAnyOther(t *testing.T) {
	sizes := func(tick uint64) int {
		switch {
		case tick > 200 && tick <= 400:
			return 3000
		case tick == 150:
			return 300_000 // more than a block holds
		}
		return int(tick % 50)
	}
	p := DeltaPacker{Lean: true}
	var all, packed []Delta
	compressed := map[bool]int{}
	for tick := uint64(1); tick <= 600; tick++ {
		d := wholeDelta(tick, sizes(tick))
		all = append(all, d)
		q, err := p.Pack(d)
		if err != nil {
			t.Fatal(err)
		}
		p.Stored()
		q.Body = bytes.Clone(q.Body)
		packed = append(packed, q)
		if compressed[!p.plain]++; tick < 150 && p.zstd != nil || tick == 400 && p.plain {
			t.Errorf("tick %d: compressed %v", tick, !p.plain)
		}
	}
	if compressed[true] < 100 || !p.plain {
		t.Errorf("compressed %v, and at the end %v", compressed, !p.plain)
	}
	i := 0
	for d, err := range unpackDeltas(func(yield func(Delta, error) bool) {
		for _, d := range packed {
			if !yield(d, nil) {
				return
			}
		}
	}) {
		if err != nil || d.Tick != all[i].Tick || !bytes.Equal(d.Body, all[i].Body) {
			t.Fatalf("tick %d comes back with %d of %d bytes: %v", all[i].Tick, len(d.Body), len(all[i].Body), err)
		}
		i++
	}
	if i != len(all) {
		t.Errorf("%d deltas of %d come back", i, len(all))
	}
}

// TestWhatIsNotKnownToBeStoredIsPackedAgainInTheSameBytes: the same delta packs to the same bytes, another one begins a
// group.
func TestWhatIsNotKnownToBeStoredIsPackedAgainInTheSameBytes(t *testing.T) {
	var p DeltaPacker
	pack := func(d Delta) Delta {
		t.Helper()
		packed, err := p.Pack(d)
		if err != nil {
			t.Fatal(err)
		}
		packed.Body = bytes.Clone(packed.Body)
		return packed
	}
	pack(wholeDelta(1, 100))
	p.Stored()
	a := pack(wholeDelta(2, 100))
	if b := pack(wholeDelta(2, 100)); a.Group != 1 || b.Group != 1 || !bytes.Equal(a.Body, b.Body) {
		t.Errorf("packed again: group %d and %d", a.Group, b.Group)
	}
	if c := pack(wholeDelta(3, 100)); c.Group != 3 {
		t.Errorf("after a delta that may not be stored: group %d", c.Group)
	}
	p.Stored()
	other := wholeDelta(4, 100)
	other.Epoch = 2
	if d := pack(other); d.Group != 4 {
		t.Errorf("of another epoch: group %d", d.Group)
	}
	p.Stored()
	if d := pack(wholeDelta(9, 100)); d.Group != 9 {
		t.Errorf("after a gap: group %d", d.Group)
	}
	for tick := uint64(10); tick < 300; tick++ {
		p.Stored()
		if d := pack(wholeDelta(tick, 10)); tick-d.Group >= GroupTicks {
			t.Fatalf("tick %d is in the group of tick %d", tick, d.Group)
		}
	}
}

// TestVersion1OfTheStreamIsRead: a stream that a build without packing began and this build continued.
func TestVersion1OfTheStreamIsRead(t *testing.T) {
	ctx := context.Background()
	m := NewMemory()
	m.MaxPayloadBytes = 1200
	for tick := uint64(1); tick <= 5; tick++ {
		parts, err := wholeDelta(tick, 3000).Split(m.payload())
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			body, err := part.Encode(nil)
			if err != nil || body[3] != 1 {
				t.Fatal(body[:4], err)
			}
			m.deltas = append(m.deltas, storedDelta{header: part, body: body})
			m.deltaSeq++
		}
	}
	if err := m.Deltas().Publish(ctx, []Delta{wholeDelta(6, 3000), wholeDelta(7, 10)}); err != nil {
		t.Fatal(err)
	}
	for _, from := range []uint64{0, 3, 6, 7} {
		ticks, bodies := stored(t, m.Deltas(), from)
		if len(ticks) != 8-int(max(from, 1)) {
			t.Fatalf("from %d: %v", from, ticks)
		}
		for tick, b := range bodies {
			if !bytes.Equal(b, wholeDelta(tick, len(b)).Body) || len(b) < 10 {
				t.Errorf("tick %d has another body", tick)
			}
		}
	}
}

// goldenGroup returns the names of the golden messages of a game's first ticks, and the same ticks in memory.
func goldenGroup(t testing.TB) (names []string, m *Memory) {
	v := sail(t, 3)
	for i, s := range v.m.deltas {
		names = append(names, fmt.Sprintf("delta-packed-%d", s.header.Tick))
		if *update {
			golden(t.(*testing.T), names[i], s.body)
		}
	}
	return names, v.m
}

// The compressor's output may change, but the golden messages must remain readable forever.
func TestPackedDeltasAreGolden(t *testing.T) {
	names, m := goldenGroup(t)
	_, want := stored(t, m.Deltas(), 0)
	var messages []Delta
	for _, name := range names {
		d, err := DecodeDelta(readGolden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, d)
	}
	tick := uint64(0)
	for d, err := range JoinDeltas(yieldAll(messages)) {
		if tick++; err != nil || d.Tick != tick || !bytes.Equal(d.Body, want[tick]) {
			t.Fatalf("tick %d: %v", tick, err)
		}
	}
	if tick != 3 || messages[0].Group != 1 || messages[2].Group != 1 {
		t.Errorf("%d ticks, groups %d and %d", tick, messages[0].Group, messages[2].Group)
	}
}

// packedAs returns a delta whose packed body is b.
func packedAs(tick, group uint64, size int, b []byte) Delta {
	return Delta{Lineage: testLineage, Epoch: 1, RecordSeq: Seq(tick), Tick: tick, Part: 1, Parts: 1, Group: group, Size: size, Body: b}
}

func TestAHostilePackedBodyCostsLittleAndIsRefused(t *testing.T) {
	frame := func(window, n int) []byte {
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := frame(1<<20, 20<<20)
	for name, c := range map[string]struct {
		size int
		body []byte
		most uint64
	}{
		"more than it says":       {1000, good, 8 << 20},
		"less than it says":       {64 << 20, good, 160 << 20},
		"a window of a gigabyte":  {1 << 20, frame(512<<20, 1<<20), 8 << 20},
		"nothing, but it says so": {64 << 20, nil, 1 << 20},
		"no zstd":                 {10, []byte("0123456789"), 1 << 20},
	} {
		var err error
		took := allocated(func() {
			for _, e := range JoinDeltas(yieldAll([]Delta{packedAs(5, 5, c.size, c.body)})) {
				err = errors.Join(err, e)
			}
		})
		most := c.most
		if raceDetector {
			most += most / 4 // it makes a sync.Pool forget
		}
		if !errors.Is(err, ErrCorrupt) || took > most {
			t.Errorf("%s: %d bytes allocated, %v", name, took, err)
		}
	}
}

func FuzzUnpackDeltas(f *testing.F) {
	v := sail(f, 4)
	var seed []byte
	for _, s := range v.m.deltas {
		d, err := DecodeDelta(s.body)
		if err != nil {
			f.Fatal(err)
		}
		seed = append(seed, byte(d.Tick), byte(d.Group), byte(d.Size), byte(d.Size>>8), byte(len(d.Body)), byte(len(d.Body)>>8))
		seed = append(seed, d.Body...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var messages []Delta
		for len(b) >= 6 {
			tick, group, size, n := uint64(b[0])+1, uint64(b[1]), int(b[2])|int(b[3])<<8, int(b[4])|int(b[5])<<8
			b = b[6:]
			n = min(n, len(b))
			if group = min(group, tick); group == 0 {
				size = 0
			}
			messages = append(messages, packedAs(tick, group, size, b[:n]))
			b = b[n:]
		}
		for _, err := range JoinDeltas(yieldAll(messages)) {
			typed(t, err)
		}
	})
}

// TestPackersThatRestShareTheirMemory: streams whose packers rest at different times are unpacked as they were.
func TestPackersThatRestShareTheirMemory(t *testing.T) {
	packers := [3]DeltaPacker{2: {Lean: true}}
	var readers [3]deltaUnpacker
	for i := range readers {
		defer readers[i].close()
	}
	for tick := uint64(1); tick <= 200; tick++ {
		for i := range packers {
			body := bytes.Repeat([]byte{byte(i), byte(tick), 7}, 100+int(tick)%5)
			packed, err := packers[i].Pack(Delta{Lineage: testLineage, Epoch: 1, RecordSeq: Seq(tick), Tick: tick, Part: 1, Parts: 1, Body: body})
			if err != nil {
				t.Fatal(err)
			}
			packed.Body = bytes.Clone(packed.Body)
			packers[i].Stored()
			if rests := tick%uint64(5+3*i) == 0; rests {
				packers[i].Rest()
				if packers[i].packing != nil {
					t.Fatal("it keeps its memory")
				}
			}
			if whole, ok, err := readers[i].add(packed); err != nil || !ok || !bytes.Equal(whole.Body, body) {
				t.Fatalf("stream %d, tick %d: %v, %v, %d bytes of %d", i, tick, ok, err, len(whole.Body), len(body))
			}
		}
	}
}

// TestPackersThatRestFindACompressor: one of the window that they need, which those without one leave alone. Making one
// takes longer than packing a delta.
func TestPackersThatRestFindACompressor(t *testing.T) {
	packers := []struct {
		DeltaPacker
		size int
		made map[*zstd.Encoder]bool
	}{{size: 100}, {size: 3000}, {size: 40_000}, {size: 300_000}}
	const ticks = 200
	for tick := uint64(1); tick <= ticks; tick++ {
		for i := range packers {
			p := &packers[i]
			p.Lean = true
			if _, err := p.Pack(wholeDelta(tick, p.size)); err != nil {
				t.Fatal(err)
			}
			if p.made == nil {
				p.made = map[*zstd.Encoder]bool{}
			}
			if !p.plain {
				p.made[p.zstd] = true
			}
			p.Stored()
			p.Rest()
		}
	}
	for _, p := range packers { // with the race detector, a sync.Pool forgets every fourth
		if len(p.made) > ticks/2 || (len(p.made) == 0) != (p.size == 100) {
			t.Errorf("%d deltas of %d bytes take %d compressors", ticks, p.size, len(p.made))
		}
	}
}
