package ecs

import (
	"encoding/json"
	"fmt"
)

// Schema describes every type that a game registers, so that tools, clients and other builds can read the game's bytes
// without its code. It is plain data and survives a round trip through JSON (ParseSchema). A type's index in its list
// is its number in frames, deltas and snapshots.
type Schema struct {
	Components []Type `json:"components"`
	Resources  []Type `json:"resources"`
	Events     []Type `json:"events"`
	Commands   []Type `json:"commands"` // 0 is wind.join, 1 is wind.leave
	Outgoing   []Type `json:"outgoing"`
}

// Type describes one registered struct.
type Type struct {
	Name       string  `json:"name"`
	Size       int     `json:"size"`   // bytes of a value in memory, padding included
	Packed     int     `json:"packed"` // bytes of an encoded value: the fields, little-endian, without padding
	Fields     []Field `json:"fields,omitempty"`
	Transient  bool    `json:"transient,omitempty"`  // zeroed when a tick begins; in no delta, snapshot or checksum
	Replicated bool    `json:"replicated,omitempty"` // clients may see it
	Spatial    bool    `json:"spatial,omitempty"`    // its X and Y, metres, place the entity
	Sampled    bool    `json:"sampled,omitempty"`    // a command that each session sends once per tick
}

// Field is one leaf of a type. Nested structs are flattened; an array of plain values is one field.
type Field struct {
	Path         string    `json:"path"` // X, Box.Min.X, Slots[3].Count
	Kind         FieldKind `json:"kind"`
	Offset       int       `json:"offset"`          // byte offset in memory
	PackedOffset int       `json:"packed_offset"`   // byte offset in the encoded value
	Count        int       `json:"count"`           // number of values: 1, or the array's length
	Width        int       `json:"width"`           // bytes of one value
	Tag          string    `json:"tag,omitempty"`   // its `wind:"…"` tag, or that of the nearest enclosing field
	Array        bool      `json:"array,omitempty"` // an array, even of length one
}

// FieldKind is the kind of a field's values.
type FieldKind uint8

// The kinds. A text is a length byte followed by its buffer; an entity is its id and its generation, both u32.
const (
	KindInvalid FieldKind = iota
	KindBool
	KindI8
	KindI16
	KindI32
	KindI64
	KindU8
	KindU16
	KindU32
	KindU64
	KindF32
	KindF64
	KindEntity
	KindText
)

var kindNames = [...]string{"invalid", "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "entity", "text"}

// String returns the kind's name in JSON: bool, i8…i64, u8…u64, f32, f64, entity, text.
func (k FieldKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// MarshalText implements encoding.TextMarshaler.
func (k FieldKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler and refuses unknown names.
func (k *FieldKind) UnmarshalText(b []byte) error {
	for i, n := range kindNames {
		if i > 0 && n == string(b) {
			*k = FieldKind(i)
			return nil
		}
	}
	return fmt.Errorf("ecs: %q is not a field kind", b)
}

// Hash identifies the schema: equal schemas have equal hashes on every machine.
func (s *Schema) Hash() uint64 { return bytesHash(k0, s.JSON()) }

// JSON encodes the schema as an object. Equal schemas give equal bytes.
func (s *Schema) JSON() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data always marshals
	}
	return b
}

// ParseSchema parses the output of JSON. It validates the types, so that Format cannot panic on packed bytes of the
// right length.
func ParseSchema(b []byte) (*Schema, error) {
	var s Schema
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("ecs: schema: %w", err)
	}
	for _, list := range [...][]Type{s.Components, s.Resources, s.Events, s.Commands, s.Outgoing} {
		for i := range list {
			if err := list[i].check(); err != nil {
				return nil, err
			}
		}
	}
	return &s, nil
}

func (t *Type) check() error {
	if t.Size < 0 || t.Packed < 0 || t.Size > maxSize || t.Packed > maxSize {
		return fmt.Errorf("ecs: schema: type %q has %d bytes, %d packed", t.Name, t.Size, t.Packed)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Count < 0 || f.Count > maxSize || f.Width < f.Kind.minWidth() || f.Width > maxSize ||
			f.Offset < 0 || f.PackedOffset < 0 ||
			f.Offset+f.Count*f.Width > t.Size || f.PackedOffset+f.Count*f.Width > t.Packed {
			return fmt.Errorf("ecs: schema: field %s exceeds the size of its type %q", f.Path, t.Name)
		}
	}
	return nil
}

func (k FieldKind) minWidth() int {
	switch k {
	case KindI16, KindU16:
		return 2
	case KindI32, KindU32, KindF32:
		return 4
	case KindI64, KindU64, KindF64, KindEntity:
		return 8
	}
	return 1
}

// Component finds a component by name and returns its index. ok is false if the schema has no such component.
func (s *Schema) Component(name string) (index int, ok bool) { return find(s.Components, name) }

// Resource finds a resource by name.
func (s *Schema) Resource(name string) (index int, ok bool) { return find(s.Resources, name) }

// Event finds an event by name.
func (s *Schema) Event(name string) (index int, ok bool) { return find(s.Events, name) }

// Command finds a command by name.
func (s *Schema) Command(name string) (index int, ok bool) { return find(s.Commands, name) }

func find(list []Type, name string) (int, bool) {
	for i := range list {
		if list[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// Build identifies the program that made something. The program's main package fills it in.
type Build struct {
	ID         string `json:"id" msgpack:"id"` // version control revision or content hash
	GoVersion  string `json:"go_version" msgpack:"go_version"`
	GOOS       string `json:"goos" msgpack:"goos"`
	GOARCH     string `json:"goarch" msgpack:"goarch"`
	GOAMD64    string `json:"goamd64" msgpack:"goamd64"` // v1…v4; empty elsewhere
	SchemaHash uint64 `json:"schema_hash" msgpack:"schema_hash"`
}
