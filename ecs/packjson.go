package ecs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PackJSON appends the packed value of a JSON object such as {"hero": 3, "at": {"x": 1.5, "y": 2}}. Keys are field
// names or paths ("at.x"), with the first letter in either case. Arrays may be shorter than the field's. A text is a
// string. An entity is its number, or "id.generation" as Format writes it. A whole number may be a string, because not
// every language has 64 bits. Missing and null values become zero. PackJSON returns an error, and dst unchanged, for an
// unknown key (suggesting the nearest known one), a value that does not fit, and anything but exactly one object.
func (t *Type) PackJSON(dst, object []byte) ([]byte, error) {
	p := packer{t: t, b: make([]byte, t.Packed), set: make([]bool, t.Packed)}
	if err := p.pack(object); err != nil {
		return dst, fmt.Errorf("ecs: %s: %w", t.Name, err)
	}
	return append(dst, p.b...), nil
}

// packer packs one value.
type packer struct {
	t   *Type
	b   []byte
	set []bool // by packed offset of the value: whether it was given
}

// maxJSONDepth is the largest nesting depth of objects and arrays.
const maxJSONDepth = 32

func (p *packer) pack(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	if err := p.object(d, "", 1); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON object is not closed")
	} else if err != nil {
		return err
	}
	if len(bytes.TrimSpace(object[d.InputOffset():])) > 0 {
		return errors.New("bytes after the JSON object")
	}
	return nil
}

// object reads the inside of braces. prefix is the path, ending in a dot.
func (p *packer) object(d *json.Decoder, prefix string, depth int) error {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := p.value(d, prefix+key.(string), depth); err != nil { // a decoder's keys are strings
			return err
		}
	}
	_, err := d.Token()
	return err
}

// array reads the inside of brackets.
func (p *packer) array(d *json.Decoder, path string, depth int) error {
	for i := 0; d.More(); i++ {
		if err := p.value(d, fmt.Sprintf("%s[%d]", path, i), depth); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// value reads the value at a path.
func (p *packer) value(d *json.Decoder, path string, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, isOpen := token.(json.Delim)
	if depth++; depth > maxJSONDepth {
		return fmt.Errorf("objects and arrays are nested more than %d deep", maxJSONDepth)
	}
	field, found, err := p.t.find(path)
	switch {
	case err != nil:
		return err
	case found && field.Array && open == '[':
		return p.array(d, path, depth)
	case found && field.Array && token == nil:
		return nil // null: same as missing
	case found && (field.Array || isOpen):
		return fmt.Errorf("%s must be %s", lowerPath(field.Path), wanted(&field))
	case found:
		return p.leaf(&field, token)
	case !p.t.Inside(path):
		return p.t.unknown(path)
	case open == '{':
		return p.object(d, path+".", depth)
	case open == '[' && p.t.Inside(path+"[0]"):
		return p.array(d, path, depth)
	case token == nil:
		return nil
	}
	return fmt.Errorf("%s is not a value: it has parts", path)
}

// Inside reports whether any field lies below the path, such as below Box for Box.Min.X.
func (t *Type) Inside(path string) bool {
	for i := range t.Fields {
		f := t.Fields[i].Path
		if len(f) > len(path) && (f[len(path)] == '.' || f[len(path)] == '[') && samePath(f[:len(path)], path) {
			return true
		}
	}
	return false
}

// leaf writes one value, which must not have been given before.
func (p *packer) leaf(f *Field, token json.Token) error {
	if p.set[f.PackedOffset] {
		return fmt.Errorf("%s is given twice", lowerPath(f.Path))
	}
	p.set[f.PackedOffset] = true
	if token == nil || f.Kind.put(p.b[f.PackedOffset:f.PackedOffset+f.Width], token) {
		return nil
	}
	return fmt.Errorf("%s must be %s, not %s", lowerPath(f.Path), wanted(f), jsonText(token))
}

func jsonText(token json.Token) string {
	switch v := token.(type) {
	case json.Number:
		return clip(v.String(), 40)
	case string:
		return strconv.Quote(clip(v, 40))
	}
	return fmt.Sprint(token)
}

// wanted describes what a field accepts.
func wanted(f *Field) string {
	one := map[FieldKind]string{
		KindBool: "true or false", KindI8: "a whole number from -128 to 127", KindI16: "a whole number from -32768 to 32767",
		KindI32: "a whole number of 32 bits", KindI64: "a whole number of 64 bits", KindU8: "a whole number from 0 to 255",
		KindU16: "a whole number from 0 to 65535", KindU32: "a non-negative whole number of 32 bits", KindU64: "a non-negative whole number of 64 bits",
		KindF32: "a finite number of 32 bits", KindF64: "a finite number", KindEntity: `an entity: 12 or "12.3"`,
		KindText: fmt.Sprintf("a text of at most %d bytes", f.Width-1),
	}[f.Kind]
	if f.Array {
		return fmt.Sprintf("an array of at most %d: %s", f.Count, one)
	}
	return one
}

// put writes a token as a value of the kind; b has the field's width. It reports whether the value fits.
func (k FieldKind) put(b []byte, token json.Token) bool {
	switch v := token.(type) {
	case bool:
		if k == KindBool && v {
			b[0] = 1
		}
		return k == KindBool
	case json.Number:
		return k.putNumber(b, v.String())
	case string:
		switch {
		case k == KindText:
			if len(v) > len(b)-1 || len(v) > math.MaxUint8 || !utf8.ValidString(v) {
				return false
			}
			b[0] = byte(copy(b[1:], v))
			return true
		case k == KindEntity:
			return putEntity(b, v)
		case k >= KindI8 && k <= KindU64:
			return k.putNumber(b, v)
		}
	}
	return false
}

func (k FieldKind) putNumber(b []byte, s string) bool {
	le := binary.LittleEndian
	switch {
	case k == KindEntity:
		return !strings.Contains(s, ".") && putEntity(b, s) // 12.10 is a number, and equals 12.1
	case k == KindF64:
		x, err := strconv.ParseFloat(s, 64)
		le.PutUint64(b, math.Float64bits(x))
		return err == nil
	case k == KindF32:
		x, err := strconv.ParseFloat(s, 32)
		le.PutUint32(b, math.Float32bits(float32(x)))
		return err == nil
	case k >= KindI8 && k <= KindI64:
		bits := 8 << (k - KindI8)
		x, err := strconv.ParseInt(whole(s), 10, bits)
		putBits(b, uint64(x), bits/8)
		return err == nil
	case k >= KindU8 && k <= KindU64:
		bits := 8 << (k - KindU8)
		x, err := strconv.ParseUint(whole(s), 10, bits)
		putBits(b, x, bits/8)
		return err == nil
	}
	return false
}

func putBits(b []byte, v uint64, n int) {
	for i := range n {
		b[i] = byte(v >> (8 * i))
	}
}

// whole rewrites 3.0 and 1e3 as 3 and 1000 and leaves anything else as it is.
func whole(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatInt(int64(x), 10) //windvet:allow in range, as checked above
	}
	return s
}

func putEntity(b []byte, s string) bool {
	id, generation, two := strings.Cut(s, ".")
	i, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return false
	}
	var g uint64
	if two {
		if g, err = strconv.ParseUint(generation, 10, 32); err != nil {
			return false
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(i))
	binary.LittleEndian.PutUint32(b[4:], uint32(g))
	return true
}
