package script

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/ecs"
)

// place is a field of a component.
type place struct {
	component int
	field     ecs.Field
}

// maxPlaces is how many paths a world caches.
const maxPlaces = 4096

// place finds "health.HP": the field HP of the component health. Component names may contain dots themselves; the
// longest match wins.
func (r *run) place(path string) (place, error) {
	if p, ok := r.h.fields[path]; ok {
		return p, nil
	}
	p, err := findPlace(r.a.Schema(), path)
	if err == nil && len(r.h.fields) < maxPlaces {
		r.h.fields[strings.Clone(path)] = p
	}
	return p, err
}

func findPlace(s *ecs.Schema, path string) (place, error) {
	best := -1
	for i := range s.Components {
		if name := s.Components[i].Name; strings.HasPrefix(path, name+".") && (best < 0 || len(name) > len(s.Components[best].Name)) {
			best = i
		}
	}
	if best >= 0 {
		if _, err := ownComponent(s, s.Components[best].Name); err != nil {
			return place{}, err
		}
	} else {
		name, _, dotted := strings.Cut(path, ".")
		if _, err := ownComponent(s, name); err != nil {
			return place{}, err
		}
		if !dotted {
			return place{}, fmt.Errorf("%q names no field: want component.field", path)
		}
	}
	f, err := s.Components[best].Find(path[len(s.Components[best].Name)+1:])
	return place{best, f}, err
}

// get returns a field's value. b is the memory of the whole value.
func get(f *ecs.Field, b []byte) starlark.Value {
	if !f.Array {
		return getOne(f.Kind, b[f.Offset:f.Offset+f.Width])
	}
	list := make(starlark.Tuple, f.Count)
	for i := range list {
		list[i] = getOne(f.Kind, b[f.Offset+i*f.Width:][:f.Width])
	}
	return list
}

func getOne(k ecs.FieldKind, b []byte) starlark.Value {
	le := binary.LittleEndian
	switch k {
	case ecs.KindBool:
		return starlark.Bool(b[0] != 0)
	case ecs.KindI8:
		return starlark.MakeInt(int(int8(b[0])))
	case ecs.KindI16:
		return starlark.MakeInt(int(int16(le.Uint16(b))))
	case ecs.KindI32:
		return starlark.MakeInt(int(int32(le.Uint32(b))))
	case ecs.KindI64:
		return starlark.MakeInt64(int64(le.Uint64(b)))
	case ecs.KindU8:
		return starlark.MakeInt(int(b[0]))
	case ecs.KindU16:
		return starlark.MakeInt(int(le.Uint16(b)))
	case ecs.KindU32:
		return starlark.MakeInt64(int64(le.Uint32(b)))
	case ecs.KindU64:
		return starlark.MakeUint64(le.Uint64(b))
	case ecs.KindF32:
		return starlark.Float(math.Float32frombits(le.Uint32(b)))
	case ecs.KindF64:
		return starlark.Float(math.Float64frombits(le.Uint64(b)))
	case ecs.KindEntity:
		if e := ecs.EntityFrom(le.Uint32(b), le.Uint32(b[4:])); !e.IsZero() {
			return entityValue(e)
		}
		return starlark.None
	case ecs.KindText:
		return starlark.String(b[1:][:min(int(b[0]), len(b)-1)])
	}
	return starlark.None
}

// put writes a field's value. b is the memory of the whole value.
func put(f *ecs.Field, b []byte, v starlark.Value) error {
	if !f.Array {
		if err := putOne(f.Kind, b[f.Offset:f.Offset+f.Width], v); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		return nil
	}
	list, ok := v.(starlark.Indexable)
	if _, text := v.(starlark.String); !ok || text || list.Len() > f.Count {
		return fmt.Errorf("%s: want a list of at most %d, got %s", f.Path, f.Count, v.Type())
	}
	clear(b[f.Offset : f.Offset+f.Count*f.Width])
	for i := range list.Len() {
		if err := putOne(f.Kind, b[f.Offset+i*f.Width:][:f.Width], list.Index(i)); err != nil {
			return fmt.Errorf("%s[%d]: %w", f.Path, i, err)
		}
	}
	return nil
}

// putOne writes one value of exactly len(b) bytes.
func putOne(k ecs.FieldKind, b []byte, v starlark.Value) error {
	le := binary.LittleEndian
	switch k {
	case ecs.KindBool:
		if x, ok := v.(starlark.Bool); ok {
			b[0] = byte(bit(bool(x)))
			return nil
		}
	case ecs.KindF32, ecs.KindF64:
		if x, ok := starlark.AsFloat(v); ok && k == ecs.KindF32 {
			le.PutUint32(b, math.Float32bits(float32(x)))
			return nil
		} else if ok {
			le.PutUint64(b, math.Float64bits(x))
			return nil
		}
	case ecs.KindEntity:
		if e, ok := v.(entityValue); ok {
			le.PutUint32(b, ecs.Entity(e).ID())
			le.PutUint32(b[4:], ecs.Entity(e).Generation())
			return nil
		}
		if v == starlark.None {
			clear(b)
			return nil
		}
	case ecs.KindText:
		if s, ok := starlark.AsString(v); ok {
			return putText(b, s)
		}
	default:
		if x, ok := v.(starlark.Int); ok {
			return putInt(k, b, x)
		}
	}
	return fmt.Errorf("want %s, got %s", kindWords(k), v.Type())
}

func kindWords(k ecs.FieldKind) string {
	switch k {
	case ecs.KindBool:
		return "True or False"
	case ecs.KindF32, ecs.KindF64:
		return "a number"
	case ecs.KindEntity:
		return "an entity or None"
	case ecs.KindText:
		return "a string"
	}
	return "an int"
}

func putText(b []byte, s string) error {
	if len(s) > len(b)-1 || len(s) > math.MaxUint8 || !utf8.ValidString(s) {
		return fmt.Errorf("a string of %d bytes does not fit into %d, or is not UTF-8", len(s), len(b)-1)
	}
	clear(b)
	b[0] = byte(copy(b[1:], s))
	return nil
}

func putInt(k ecs.FieldKind, b []byte, x starlark.Int) error {
	var bits uint64
	if k >= ecs.KindU8 {
		u, ok := x.Uint64()
		if n := 8 << (k - ecs.KindU8); !ok || n < 64 && u>>n != 0 {
			return fmt.Errorf("%s does not fit into %s", oneLine(x.String()), k)
		}
		bits = u
	} else {
		i, ok := x.Int64()
		if n := 64 - 8<<(k-ecs.KindI8); !ok || i<<n>>n != i {
			return fmt.Errorf("%s does not fit into %s", oneLine(x.String()), k)
		}
		bits = uint64(i)
	}
	for i := range b {
		b[i] = byte(bits >> (8 * i))
	}
	return nil
}

// maxDepth is how deep dictionaries and lists may nest.
const maxDepth = 16

// fill makes a value of a type, in memory layout, from a dictionary of its fields. Missing fields are zero.
func fill(typ *ecs.Type, v starlark.Value) ([]byte, error) {
	b := make([]byte, typ.Size)
	if v == starlark.None {
		return b, nil
	}
	if _, ok := v.(*starlark.Dict); !ok {
		return nil, fmt.Errorf("%s: want a dict of its fields, got %s", typ.Name, v.Type())
	}
	return b, fillAt(typ, b, "", v, 0)
}

// fillAt writes the value at a path.
func fillAt(typ *ecs.Type, b []byte, path string, v starlark.Value, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: dicts and lists nest deeper than %d", typ.Name, maxDepth)
	}
	if path != "" && !typ.Inside(path) {
		f, err := typ.Find(path)
		if err == nil {
			err = put(&f, b, v)
		}
		return err
	}
	switch v := v.(type) {
	case *starlark.Dict:
		for _, item := range v.Items() {
			key, ok := starlark.AsString(item[0])
			if !ok {
				return fmt.Errorf("%s: a field's name must be a string, not a %s", typ.Name, item[0].Type())
			}
			if path != "" {
				key = path + "." + key
			}
			if err := fillAt(typ, b, key, item[1], depth+1); err != nil {
				return err
			}
		}
		return nil
	case starlark.Indexable:
		for i := range v.Len() {
			if err := fillAt(typ, b, fmt.Sprintf("%s[%d]", path, i), v.Index(i), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s: %s has parts: want a dict, got %s", typ.Name, path, v.Type())
}
