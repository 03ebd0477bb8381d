package ecs

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format renders a packed value for people, {x:1.5 y:2}, without the game's code. Paths keep the source's case, except
// for a lower-case first letter. Bytes whose length is not Packed are rendered in hex.
func (t *Type) Format(packed []byte) string {
	if len(packed) != t.Packed {
		return fmt.Sprintf("{%d bytes, want %d: %x}", len(packed), t.Packed, packed)
	}
	var s strings.Builder
	s.WriteByte('{')
	for i := range t.Fields {
		f := &t.Fields[i]
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(lowerFirst(f.Path))
		s.WriteByte(':')
		f.format(&s, packed[f.PackedOffset:f.PackedOffset+f.Count*f.Width])
	}
	s.WriteByte('}')
	return s.String()
}

func (f *Field) format(s *strings.Builder, b []byte) {
	if !f.Array {
		s.WriteString(f.Kind.format(b))
		return
	}
	s.WriteByte('[')
	for i := range f.Count {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(f.Kind.format(b[i*f.Width : (i+1)*f.Width]))
	}
	s.WriteByte(']')
}

// format renders one value; b has the field's width.
func (k FieldKind) format(b []byte) string {
	le := binary.LittleEndian
	switch k {
	case KindBool:
		return strconv.FormatBool(b[0] != 0)
	case KindI8:
		return strconv.Itoa(int(int8(b[0])))
	case KindI16:
		return strconv.Itoa(int(int16(le.Uint16(b))))
	case KindI32:
		return strconv.Itoa(int(int32(le.Uint32(b))))
	case KindI64:
		return strconv.FormatInt(int64(le.Uint64(b)), 10)
	case KindU8:
		return strconv.Itoa(int(b[0]))
	case KindU16:
		return strconv.Itoa(int(le.Uint16(b)))
	case KindU32:
		return strconv.FormatUint(uint64(le.Uint32(b)), 10)
	case KindU64:
		return strconv.FormatUint(le.Uint64(b), 10)
	case KindF32:
		return strconv.FormatFloat(float64(math.Float32frombits(le.Uint32(b))), 'g', -1, 32)
	case KindF64:
		return strconv.FormatFloat(math.Float64frombits(le.Uint64(b)), 'g', -1, 64)
	case KindEntity:
		return Entity{le.Uint32(b), le.Uint32(b[4:])}.String()
	case KindText:
		return strconv.Quote(string(b[1:][:min(int(b[0]), len(b)-1)]))
	}
	return fmt.Sprintf("%x", b)
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return strings.ToLower(string(r)) + s[n:]
}
