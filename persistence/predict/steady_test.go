package predict

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPlanesOfAnySizeComeBack compares appendPlanes, which takes eight values at a time, with its definition.
func TestPlanesOfAnySizeComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for size := range 35 {
		for n := range 35 {
			values := make([]byte, n*size)
			if n%3 > 0 { // otherwise zeros
				for i := range values {
					values[i] = byte(r.IntN(256))
				}
			}
			planes := appendPlanes([]byte("x"), values, size)
			if len(planes) != 1+len(values) || planes[0] != 'x' {
				t.Fatalf("%d values of %d bytes: %d bytes", n, size, len(planes))
			}
			for i, v := range values {
				if at := i%size*n + i/size; planes[1+at] != v {
					t.Fatalf("%d values of %d bytes: byte %d is not at %d", n, size, i, at)
				}
			}
			if back := fromPlanes(nil, planes[1:], size); !bytes.Equal(back, values) {
				t.Fatalf("%d values of %d bytes do not come back", n, size)
			}
		}
	}
}

// TestSteadyEntitiesComeBack: the same entities change in each tick, which a Writer codes in bulk, until some of them
// change, are left out, or come in another order.
func TestSteadyEntitiesComeBack(t *testing.T) {
	steady(t, &Layout{columns: []column{
		{packed: 20, words: []word{{at: 0, width: 8, float: true, how: line}, {at: 8, width: 8, how: difference}, {at: 16, width: 4, how: difference}}},
		{packed: 8, words: []word{{at: 0, width: 8, how: asIs}}},
	}})
	steady(t, &Layout{chosen: true, columns: []column{ // a plan that was read may have a sum without sources
		{packed: 20, sums: true, words: []word{{at: 0, width: 8, how: sum}, {at: 8, width: 8, how: difference}, {at: 16, width: 4, how: difference}}},
		{packed: 8, sums: true, words: []word{{at: 0, width: 8, how: sum, sources: []source{{component: 0, word: 1, at: 8}}}}},
	}})
}

// steady sends bodies of a layout through a Writer and a Reader.
func steady(t *testing.T, l *Layout) {
	t.Helper()
	r := rand.New(rand.NewPCG(2, 2))
	ids := make([]uint32, 100)
	for i := range ids {
		ids[i] = uint32(3*i + 1)
	}
	body := func(tick uint64, ids []uint32) []byte {
		b := append(appendUvarint(nil, tick), make([]byte, 8)...)
		b = append(b, 0, 0, 0, 0, 0) // tables, operations, sessions, resources
		for i := range l.columns {
			b = appendUvarint(appendUvarint(b, uint64(i+1)), uint64(len(ids)))
			for _, id := range ids {
				v := binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(id)+float64(tick)/4))
				v = binary.LittleEndian.AppendUint64(v, r.Uint64())
				b = append(b, append(v, 1, 2, 3, byte(tick))[:l.columns[i].packed]...)
			}
			last := uint32(0)
			for _, id := range ids {
				b = appendUvarint(b, uint64(zigzag32(id-last)))
				last = id
			}
		}
		return append(b, 0)
	}
	var w Writer
	var back Reader
	bulk := 0
	for tick := uint64(1); tick <= 600; tick++ {
		if tick%50 == 1 {
			w.Begin(l)
			back.Begin()
		}
		changed := ids
		switch r.IntN(12) {
		case 0:
			changed = ids[r.IntN(50):]
		case 1:
			changed = ids[:50+r.IntN(50)]
		case 2:
			ids = slices.Clone(ids)
			i, j := r.IntN(100), r.IntN(100)
			ids[i], ids[j] = ids[j], ids[i]
			changed = ids
		case 3:
			ids = slices.Clone(ids)
			ids[r.IntN(100)] = uint32(1000 + tick)
			changed = ids
		}
		b := body(tick, changed)
		content := w.Append(nil, b, tick, 0)
		got, err := back.Append(nil, content, tick, 0)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("tick %d: %d bytes became %d: %v", tick, len(b), len(got), err)
		}
		if k := &w.memory.columns[0]; k.young == 0 && w.slots[len(changed)-1] == w.slots[0]+int32(len(changed))-1 {
			bulk++
		}
	}
	if bulk < 100 {
		t.Errorf("only %d of 600 bodies were steady", bulk)
	}
}
