package persistence

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// bodyReader reads a delta body with ecs/FORMAT.md and the schema alone, like a tool
// without the game's code. It panics if the bytes do not match that page.
type bodyReader struct{ b []byte }

func (r *bodyReader) take(n int) []byte { b := r.b[:n]; r.b = r.b[n:]; return b }

func (r *bodyReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		panic("no uvarint")
	}
	r.b = r.b[n:]
	return v
}

// schemaTypes is the part of the schema that a tool needs.
type schemaTypes struct {
	Components []schemaType `json:"components"`
	Resources  []schemaType `json:"resources"`
	Commands   []schemaType `json:"commands"`
}

type schemaType struct {
	Name    string `json:"name"`
	Packed  int    `json:"packed"`
	Sampled bool   `json:"sampled"`
	Fields  []struct {
		Path         string `json:"path"`
		PackedOffset int    `json:"packed_offset"`
	} `json:"fields"`
}

// toolView is the world as such a tool sees it: the living entities, and the
// packed values by component and entity id.
type toolView struct {
	types  schemaTypes
	living map[uint32]uint32 // generation by id
	values map[int]map[uint32][]byte
	score  []byte // of resource 0
}

func (v *toolView) apply(body []byte) (tick, checksum uint64) {
	r := &bodyReader{body}
	tick, checksum = r.uvarint(), binary.LittleEndian.Uint64(r.take(8))
	for range r.uvarint() { // tables
		for range r.uvarint() {
			r.uvarint()
		}
	}
	n := r.uvarint()
	ops := &bodyReader{r.take(int(r.uvarint()))}
	for range n {
		kind, id := ops.take(1)[0], uint32(ops.uvarint())
		switch kind {
		case 0:
			v.living[id] = uint32(ops.uvarint())
			ops.uvarint()
		case 1:
			delete(v.living, id)
			for _, column := range v.values {
				delete(column, id)
			}
		default:
			ops.uvarint()
		}
	}
	if len(ops.b) > 0 {
		panic("operations left")
	}
	v.sessions(&bodyReader{r.take(int(r.uvarint()))})
	for k := r.uvarint(); k > 0; k = r.uvarint() {
		if value := r.take(v.types.Resources[k-1].Packed); k == 1 {
			v.score = value
		}
	}
	for k := r.uvarint(); k > 0; k = r.uvarint() {
		v.column(r, int(k-1))
	}
	if len(r.b) > 0 {
		panic("bytes left")
	}
	return tick, checksum
}

func (v *toolView) column(r *bodyReader, component int) {
	n, size, id := int(r.uvarint()), v.types.Components[component].Packed, uint32(0)
	values := r.take(n * size)
	if v.values[component] == nil {
		v.values[component] = map[uint32][]byte{}
	}
	for ; n > 0; n-- {
		z := uint32(r.uvarint())
		id += z>>1 ^ -(z & 1)
		v.values[component][id], values = values[:size], values[size:]
	}
}

func (v *toolView) sessions(r *bodyReader) {
	if len(r.b) == 0 {
		return
	}
	for range r.uvarint() {
		r.uvarint()
	}
	for range r.uvarint() {
		r.uvarint()
		parts := r.take(1)[0]
		if parts&1 != 0 {
			r.take(int(r.uvarint()))
			r.take(16)
			r.uvarint()
		}
		for _, numbers := range []struct {
			bit   byte
			count int
		}{{2, 1}, {4, 1}, {8, 2}} {
			for range numbers.count * int(parts&numbers.bit/numbers.bit) {
				r.uvarint()
			}
		}
		if parts&16 != 0 {
			v.inputs(r)
		}
		if parts&32 != 0 {
			for range r.uvarint() {
				r.uvarint()
				if reason := r.uvarint(); reason > 0 {
					r.take(int(reason - 1))
				}
			}
		}
	}
	if len(r.b) > 0 {
		panic("session bytes left")
	}
}

func (v *toolView) inputs(r *bodyReader) {
	var sampled []schemaType
	for _, c := range v.types.Commands {
		if c.Sampled {
			sampled = append(sampled, c)
		}
	}
	for k := r.uvarint(); k > 0; k = r.uvarint() {
		r.take(sampled[k-1].Packed)
	}
}

func TestDeltaBodiesAreReadWithTheSchemaAlone(t *testing.T) {
	v := sail(t, 150)
	g, err := DecodeRecord(v.m.at(1).Body)
	if err != nil {
		t.Fatal(err)
	}
	tool := &toolView{living: map[uint32]uint32{}, values: map[int]map[uint32][]byte{}}
	if err := json.Unmarshal(g.Genesis.Schema, &tool.types); err != nil {
		t.Fatal(err)
	}
	next, unpacker := 0, pageUnpacker{}
	_, _, err = replay(t, v.source(), drift(0), ReplayOptions{Each: func(w *ecs.World) error {
		d, err := DecodeDelta(v.m.deltas[next].body)
		if err != nil {
			return err
		}
		next++
		if tick, checksum := tool.apply(unpacker.body(d)); tick != w.Tick() || checksum != w.Checksum() {
			return fmt.Errorf("it says tick %d, checksum %016x", tick, checksum)
		}
		return tool.compare(w)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if next != 150 {
		t.Errorf("%d ticks", next)
	}
}

// compare compares positions and tally with those of the world.
func (v *toolView) compare(w *ecs.World) error {
	if len(v.living) != w.Len() {
		return fmt.Errorf("tick %d: %d entities, the world has %d", w.Tick(), len(v.living), w.Len())
	}
	if v.types.Components[0].Name != "position" || v.types.Components[0].Fields[1].PackedOffset != 8 {
		return errors.New("component 0 is not the position")
	}
	for id, gen := range v.living {
		p, ok := ecs.Get[position](w, ecs.EntityFrom(id, gen))
		have := v.values[0][id]
		if have == nil {
			have = make([]byte, 16) // never changed: zero
		}
		x, y := math.Float64frombits(binary.LittleEndian.Uint64(have)), math.Float64frombits(binary.LittleEndian.Uint64(have[8:]))
		if !ok || x != p.X || y != p.Y {
			return fmt.Errorf("tick %d: entity %d is at %v, %v; the world says %v (%v)", w.Tick(), id, x, y, p, ok)
		}
	}
	if v.score == nil {
		v.score = make([]byte, v.types.Resources[0].Packed) // never changed: zero
	}
	if want := ecs.ResourceOf[tally](w); binary.LittleEndian.Uint64(v.score[8:]) != want.Removed {
		return fmt.Errorf("tick %d: the tally is %x, want %+v", w.Tick(), v.score, want)
	}
	return nil
}
