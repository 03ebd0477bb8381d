package replication

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/ferris1/wind/ecs"
)

// slot is one value inside a component's row of words.
type slot struct {
	kind   slotKind
	field  ecs.FieldKind
	at     int // first word in the component's row
	mem    int // offset in memory
	packed int // offset in the packed value
	stride int // from one element of an array to the next, in memory and packed alike
	size   int // bytes of the value in memory

	// for a quantised value
	bits  uint8
	steps uint32  // the greatest word
	low   int64   // the step that word 0 stands for
	q     float64 // size of a step
	inv   float64 // 1/q if that is a whole number, else 0
}

// slotKind says how a value is stored in words and encoded.
type slotKind uint8

const (
	slotBool   slotKind = iota // 1 word
	slotQuant                  // 1 word: steps above low
	slotInt                    // 1 word: an integer of up to 32 bits
	slotWide                   // 2 words: an integer of 64 bits
	slotF32                    // 1 word
	slotF64                    // 2 words
	slotEntity                 // 2 words: id, generation
	slotText                   // 1 word of length, then 4 bytes in a word
)

func newSlot(f *ecs.Field, t ecs.FieldTag) (slot, error) {
	s := slot{field: f.Kind, mem: f.Offset, packed: f.PackedOffset, size: f.Width}
	s.stride = s.size
	switch f.Kind {
	case ecs.KindBool:
		s.kind = slotBool
	case ecs.KindI8, ecs.KindI16, ecs.KindI32, ecs.KindU8, ecs.KindU16, ecs.KindU32:
		s.kind = slotInt
	case ecs.KindI64, ecs.KindU64:
		s.kind = slotWide
	case ecs.KindF32:
		s.kind = slotF32
	case ecs.KindF64:
		s.kind = slotF64
	case ecs.KindEntity:
		s.kind = slotEntity
	case ecs.KindText:
		s.kind = slotText
	default:
		return s, fmt.Errorf("kind %v cannot be replicated", f.Kind)
	}
	if t.Step == 0 {
		return s, nil
	}
	s.kind, s.q, s.low, s.steps, s.bits = slotQuant, t.Step, t.Low, t.Steps, uint8(bits.Len32(t.Steps))
	if inv := math.Round(1 / t.Step); inv >= 1 && math.Abs(inv*t.Step-1) < 1e-12 {
		s.inv = inv
	}
	return s, nil
}

// words returns how many words the value takes.
func (s *slot) words() int {
	switch s.kind {
	case slotWide, slotF64, slotEntity:
		return 2
	case slotText:
		return 1 + (s.size-1+3)/4
	}
	return 1
}

// load reads the value from a component in memory into w, a row of words. It normalises texts and
// bools, so that equal values have equal words.
func (s *slot) load(row []byte, w []uint32) {
	b := row[s.mem:]
	w = w[s.at:]
	switch s.kind {
	case slotQuant:
		w[0] = s.step(s.number(b))
	case slotBool:
		w[0] = 0
		if b[0] != 0 {
			w[0] = 1
		}
	case slotInt:
		w[0] = uint32(s.integer(b))
	case slotF32:
		w[0] = binary.LittleEndian.Uint32(b)
	case slotWide, slotF64, slotEntity:
		v := binary.LittleEndian.Uint64(b)
		w[0], w[1] = uint32(v), uint32(v>>32)
	case slotText:
		n := min(int(b[0]), s.size-1)
		w[0] = uint32(n)
		for i := 1; i < s.words(); i++ {
			var word uint32
			for j := (i - 1) * 4; j < min(i*4, n); j++ {
				word |= uint32(b[1+j]) << (8 * (j & 3))
			}
			w[i] = word
		}
	}
}

// store writes the value of w, a component's row of words, into a packed component. It is load's inverse up
// to quantisation.
func (s *slot) store(w []uint32, packed []byte) {
	b := packed[s.packed:]
	w = w[s.at:]
	switch s.kind {
	case slotQuant:
		s.setNumber(b, s.value(w[0]))
	case slotBool:
		b[0] = byte(w[0])
	case slotInt:
		s.setInteger(b, int64(int32(w[0])))
	case slotF32:
		binary.LittleEndian.PutUint32(b, w[0])
	case slotWide, slotF64, slotEntity:
		binary.LittleEndian.PutUint64(b, uint64(w[0])|uint64(w[1])<<32)
	case slotText:
		b[0] = byte(w[0])
		for j := range s.size - 1 {
			b[1+j] = byte(w[1+j/4] >> (8 * (j & 3)))
		}
	}
}

// step returns the word for v: its distance from the range's low end in whole steps, clamped to the range.
func (s *slot) step(v float64) uint32 {
	var k float64
	if s.inv != 0 {
		k = math.Floor(v*s.inv+0.5) - float64(s.low)
	} else {
		k = math.Floor(v/s.q+0.5) - float64(s.low)
	}
	switch {
	case k >= float64(s.steps):
		return s.steps
	case k > 0:
		return uint32(k)
	}
	return 0 // below the range, or not a number
}

// value returns the number that a word stands for.
func (s *slot) value(word uint32) float64 {
	k := float64(s.low + int64(word))
	if s.inv != 0 {
		return k / s.inv
	}
	return k * s.q
}

// number reads a numeric field.
func (s *slot) number(b []byte) float64 {
	switch s.field {
	case ecs.KindF64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case ecs.KindF32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case ecs.KindU64:
		return float64(binary.LittleEndian.Uint64(b))
	}
	return float64(s.integer(b))
}

func (s *slot) setNumber(b []byte, v float64) {
	switch s.field {
	case ecs.KindF64:
		binary.LittleEndian.PutUint64(b, math.Float64bits(v))
	case ecs.KindF32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(v)))
	default:
		s.setInteger(b, int64(math.Floor(v+0.5)))
	}
}

func (s *slot) integer(b []byte) int64 {
	switch s.field {
	case ecs.KindI8:
		return int64(int8(b[0]))
	case ecs.KindU8:
		return int64(b[0])
	case ecs.KindI16:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case ecs.KindU16:
		return int64(binary.LittleEndian.Uint16(b))
	case ecs.KindI32:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	case ecs.KindU32:
		return int64(binary.LittleEndian.Uint32(b))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

func (s *slot) setInteger(b []byte, v int64) {
	switch s.size {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(b, uint64(v))
	}
}
