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

// PackJSON appends the packed value that a JSON object describes, such as {"hero": 3, "at": {"x": 1.5, "y": 2}}. Keys are
// names of fields or paths ("at.x"), the first letter in either case; arrays are arrays, with fewer values or as many; a text is
// a string; an entity is its number, or "id.generation" as Format writes it; a whole number may be written as a string,
// since not every language has 64 bits. What is missing or null is zero. An unknown key, with the nearest known one, a
// value that does not fit and bytes that are not one object are errors, and dst comes back as it was.
func (t *Type) PackJSON(dst, object []byte) ([]byte, error) {
	p := packer{t: t, b: make([]byte, t.Packed), set: make([]bool, t.Packed)}
	if err := p.pack(object); err != nil {
		return dst, fmt.Errorf("ecs: %s: %w", t.Name, err)
	}
	return append(dst, p.b...), nil
}

// packer makes one value.
type packer struct {
	t   *Type
	b   []byte
	set []bool // by packed offset of the value: it was given
}

// maxJSONDepth is how deep objects and arrays may stand in each other.
const maxJSONDepth = 32

func (p *packer) pack(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	if err := p.object(d, "", 1); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON object has no end")
	} else if err != nil {
		return err
	}
	if len(bytes.TrimSpace(object[d.InputOffset():])) > 0 {
		return errors.New("bytes after the JSON object")
	}
	return nil
}

// object reads what stands between braces. prefix is the path with a dot at its end.
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

// array reads what stands between brackets.
func (p *packer) array(d *json.Decoder, path string, depth int) error {
	for i := 0; d.More(); i++ {
		if err := p.value(d, fmt.Sprintf("%s[%d]", path, i), depth); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// value reads one value for a path.
func (p *packer) value(d *json.Decoder, path string, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, isOpen := token.(json.Delim)
	if depth++; depth > maxJSONDepth {
		return fmt.Errorf("more than %d objects and arrays stand in each other", maxJSONDepth)
	}
	field, found, err := p.t.find(path)
	switch {
	case err != nil:
		return err
	case found && field.Array && open == '[':
		return p.array(d, path, depth)
	case found && field.Array && token == nil:
		return nil // null: as if it were missing
	case found && (field.Array || isOpen):
		return fmt.Errorf("%s is %s", lowerPath(field.Path), wanted(&field))
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
	return fmt.Errorf("%s is no value but has parts", path)
}

// Inside reports whether there are fields below the path, as there are below Box in Box.Min.X.
func (t *Type) Inside(path string) bool {
	for i := range t.Fields {
		f := t.Fields[i].Path
		if len(f) > len(path) && (f[len(path)] == '.' || f[len(path)] == '[') && samePath(f[:len(path)], path) {
			return true
		}
	}
	return false
}

// leaf writes one value, which nobody may have written before.
func (p *packer) leaf(f *Field, token json.Token) error {
	if p.set[f.PackedOffset] {
		return fmt.Errorf("%s is given twice", lowerPath(f.Path))
	}
	p.set[f.PackedOffset] = true
	if token == nil || f.Kind.put(p.b[f.PackedOffset:f.PackedOffset+f.Width], token) {
		return nil
	}
	return fmt.Errorf("%s is %s, not %s", lowerPath(f.Path), wanted(f), jsonText(token))
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

// wanted says what a field takes.
func wanted(f *Field) string {
	one := map[FieldKind]string{
		KindBool: "true or false", KindI8: "a whole number from -128 to 127", KindI16: "a whole number from -32768 to 32767",
		KindI32: "a whole number of 32 bits", KindI64: "a whole number of 64 bits", KindU8: "a whole number from 0 to 255",
		KindU16: "a whole number from 0 to 65535", KindU32: "a whole number from 0 on, of 32 bits", KindU64: "a whole number from 0 on, of 64 bits",
		KindF32: "a finite number of 32 bits", KindF64: "a finite number", KindEntity: `an entity: 12 or "12.3"`,
		KindText: fmt.Sprintf("a text of at most %d bytes", f.Width-1),
	}[f.Kind]
	if f.Array {
		return fmt.Sprintf("an array of at most %d: %s", f.Count, one)
	}
	return one
}

// put writes a token as a value of the kind; b has the field's width. It reports whether it fits.
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
		return !strings.Contains(s, ".") && putEntity(b, s) // 12.10 is a number, and 12.1
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

// whole is 3.0 and 1e3 as 3 and 1000, and anything else as it is.
func whole(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return strconv.FormatInt(int64(x), 10) //windvet:allow it is in range, as the line above says
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
