package ecs

import (
	"fmt"
	"reflect"
)

// maxSize is the largest registered value, in bytes of memory.
const maxSize = 64 << 10

// form describes the layout of a registered type, in memory and in bytes.
type form struct {
	Type
	id     int // index in its list of the schema
	typ    reflect.Type
	seed   uint64
	spans  []span        // runs of field bytes; the gaps are padding
	mask   []uint64      // one per word of memory, ones over field bytes; nil without padding
	floats []numberSpan  // where NaNs can occur
	checks []checkedSpan // where invalid bytes can occur that Go never writes

	// For finding a NaN in a word without a branch: the exponents' bits, the lowest bit of each, and the bit that
	// adding those carries into when an exponent is all ones.
	exponents, exponentOnes, exponentCarries uint64
}

type span struct{ off, n int }

type numberSpan struct {
	off, n int // byte offset in memory, values
	wide   bool
}

type checkedSpan struct {
	off, n, width int
	kind          FieldKind
}

// formKey is what a form depends on.
type formKey struct {
	typ  reflect.Type
	name string
}

// form returns the form of a struct type for a registration, which may change it, but not what its slices hold.
func (w *World) form(what, name string, t reflect.Type) (*form, error) {
	key := formKey{t, name}
	made := w.like[key]
	if made == nil {
		var err error
		if made, err = formOf(what, name, t); err != nil {
			return nil, err
		}
	}
	w.forms[key] = made
	f := *made
	return &f, nil
}

// formOf builds the form of a struct type, or returns an error that names a field it cannot store.
func formOf(what, name string, t reflect.Type) (*form, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("ecs: %s %q: %s is not a struct", what, name, t)
	}
	if t.Size() > maxSize {
		return nil, fmt.Errorf("ecs: %s %q: %s has %d bytes, more than %d", what, name, t, t.Size(), maxSize)
	}
	f := &form{typ: t, seed: nameSeed(name), Type: Type{Name: name, Size: int(t.Size())}}
	if err := f.walk(t, part{where: typeName(t)}); err != nil {
		return nil, fmt.Errorf("ecs: %s %q: %w", what, name, err)
	}
	for i := range f.Fields {
		f.add(&f.Fields[i])
	}
	f.plan()
	return f, nil
}

// typeName returns a type's name for use in a path.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return t.String()
	}
	return t.Name()
}

var (
	entityType  = reflect.TypeFor[Entity]()
	textTypes   = [...]reflect.Type{reflect.TypeFor[Text16](), reflect.TypeFor[Text32](), reflect.TypeFor[Text64]()}
	kindOfKinds = [...]FieldKind{
		reflect.Bool: KindBool, reflect.Int8: KindI8, reflect.Int16: KindI16, reflect.Int32: KindI32, reflect.Int64: KindI64,
		reflect.Uint8: KindU8, reflect.Uint16: KindU16, reflect.Uint32: KindU32, reflect.Uint64: KindU64,
		reflect.Float32: KindF32, reflect.Float64: KindF64, reflect.UnsafePointer: KindInvalid,
	}
)

// leafKind returns the kind of a type without parts, else KindInvalid.
func leafKind(t reflect.Type) FieldKind {
	if t == entityType {
		return KindEntity
	}
	for _, x := range textTypes {
		if t == x {
			return KindText
		}
	}
	return kindOfKinds[t.Kind()]
}

// part is a position in the struct that walk is visiting.
type part struct {
	off    int
	where  string // the path, with the type's name, for errors
	path   string
	tag    string // its wind tag, or that of the nearest enclosing field
	tagged bool   // a tag exists, even an empty one
}

// walk appends the leaves of t.
func (f *form) walk(t reflect.Type, p part) error {
	if k := leafKind(t); k != KindInvalid {
		return f.leaf(Field{Path: p.path, Kind: k, Offset: p.off, Count: 1, Width: int(t.Size()), Tag: p.tag}, p)
	}
	switch t.Kind() {
	case reflect.Struct:
		return f.walkStruct(t, p)
	case reflect.Array:
		return f.walkArray(t, p)
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return fmt.Errorf("%s is %s, whose size differs by machine: use a sized integer such as int32 or int64", p.where, t)
	case reflect.String:
		return fmt.Errorf("%s is a string: use ecs.Text16, Text32 or Text64", p.where)
	case reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%s is a %s: use two floats", p.where, t)
	}
	return fmt.Errorf("%s is a %s, which a world cannot store: use bool, sized integers, float32 or float64, ecs.Entity, ecs.Text16 to Text64, or arrays and structs of these", p.where, t.Kind())
}

// leaf checks a field's tag and appends the field.
func (f *form) leaf(d Field, p part) error {
	tag, err := d.Sending()
	if err != nil {
		return fmt.Errorf("%s: %w", p.where, err)
	}
	f.Replicated = f.Replicated || p.tagged && !tag.Hidden
	f.Fields = append(f.Fields, d)
	return nil
}

func (f *form) walkStruct(t reflect.Type, p part) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		in := part{off: p.off + int(sf.Offset), where: p.where + "." + sf.Name, path: sf.Name, tag: p.tag, tagged: p.tagged}
		if err := CheckTagKeys(sf.Tag, tagOfComponent); err != nil {
			return fmt.Errorf("%s: %w", in.where, err)
		}
		if own, ok := sf.Tag.Lookup(tagOfComponent); ok {
			in.tag, in.tagged = own, true
			if _, err := ParseTag(own, KindInvalid); err != nil { // checked even if no field inside inherits it
				return fmt.Errorf("%s: %w", in.where, err)
			}
		}
		if sf.Name == "_" {
			continue // a blank field is padding: == skips it and assignments need not copy it
		}
		if p.path != "" {
			in.path = p.path + "." + in.path
		}
		if err := f.walk(sf.Type, in); err != nil {
			return err
		}
	}
	return nil
}

func (f *form) walkArray(t reflect.Type, p part) error {
	elem := t.Elem()
	if k := leafKind(elem); k != KindInvalid {
		if t.Len() == 0 {
			return nil
		}
		return f.leaf(Field{Path: p.path, Kind: k, Offset: p.off, Count: t.Len(), Width: int(elem.Size()), Tag: p.tag, Array: true}, p)
	}
	for i := range t.Len() {
		at, in := fmt.Sprintf("[%d]", i), p
		in.off, in.where, in.path = p.off+i*int(elem.Size()), p.where+at, p.path+at
		if err := f.walk(elem, in); err != nil {
			return err
		}
	}
	if t.Len() == 0 {
		p.where += "[]"
		return f.walk(elem, p) // still refuse an element type that cannot be stored
	}
	return nil
}

// add enters a field into the packed layout and into the lists of special spans.
func (f *form) add(d *Field) {
	d.PackedOffset = f.Packed
	n := d.Count * d.Width
	f.Packed += n
	if k := len(f.spans); k > 0 && f.spans[k-1].off+f.spans[k-1].n == d.Offset {
		f.spans[k-1].n += n
	} else {
		f.spans = append(f.spans, span{d.Offset, n})
	}
	switch d.Kind {
	case KindF32, KindF64:
		f.floats = append(f.floats, numberSpan{d.Offset, d.Count, d.Kind == KindF64})
		f.exponent(d.Kind)
	case KindBool, KindText:
		f.checks = append(f.checks, checkedSpan{d.Offset, d.Count, d.Width, d.Kind})
	}
}

func (f *form) exponent(k FieldKind) {
	if k == KindF64 {
		f.exponents, f.exponentOnes, f.exponentCarries = f.exponents|0x7FF<<52, f.exponentOnes|1<<52, f.exponentCarries|1<<63
		return
	}
	const both = 1<<32 | 1
	f.exponents, f.exponentOnes, f.exponentCarries = f.exponents|both*0xFF<<23, f.exponentOnes|both*1<<23, f.exponentCarries|both*1<<31
}

// plan builds the masks if the type has padding.
func (f *form) plan() {
	if f.Packed == f.Size {
		return
	}
	b := make([]byte, (f.Size+7)/8*8)
	for _, s := range f.spans {
		for i := s.off; i < s.off+s.n; i++ {
			b[i] = 0xFF
		}
	}
	for ; len(b) > 0; b = b[8:] {
		f.mask = append(f.mask, le64(b))
	}
}
