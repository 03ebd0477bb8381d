package ecs

import (
	"encoding/json"
	"errors"
	"strings"
)

// UnpackJSON returns a packed value as a JSON object that PackJSON accepts, one member per field, under its path:
// {"hero": 3, "at.x": 1.5}. Numbers that JSON cannot express are null. It returns an error for a value of another
// length.
func (t *Type) UnpackJSON(packed []byte) (json.RawMessage, error) {
	if len(packed) != t.Packed {
		return nil, errors.New("ecs: " + t.Format(packed) + " is no value of " + t.Name)
	}
	b := []byte{'{'}
	for i := range t.Fields {
		f := &t.Fields[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, lowerPath(f.Path))
		b = append(b, ':')
		b = f.appendJSON(b, packed[f.PackedOffset:f.PackedOffset+f.Count*f.Width])
	}
	return append(b, '}'), nil
}

func (f *Field) appendJSON(b, packed []byte) []byte {
	if !f.Array {
		return f.Kind.appendJSON(b, packed)
	}
	b = append(b, '[')
	for i := range f.Count {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.Kind.appendJSON(b, packed[i*f.Width:(i+1)*f.Width])
	}
	return append(b, ']')
}

// appendJSON appends one value; packed has the field's width.
func (k FieldKind) appendJSON(b, packed []byte) []byte {
	switch text := k.format(packed); k {
	case KindText:
		return appendText(b, string(packed[1:1+min(int(packed[0]), len(packed)-1)]))
	case KindEntity:
		return appendText(b, text)
	case KindF32, KindF64:
		if strings.ContainsAny(text, "NI") { // NaN, Inf
			return append(b, "null"...)
		}
		return append(b, text...)
	default:
		return append(b, text...)
	}
}

func appendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always marshals
	return append(b, text...)
}
