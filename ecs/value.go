package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// Codec packs and unpacks values of T as in frames, deltas, events and messages: the fields in order, little-endian,
// without padding. It is safe for concurrent use.
type Codec[T any] struct{ f *form }

// NewCodec returns the codec for T, which must be a struct that could be registered.
func NewCodec[T any]() (Codec[T], error) {
	t := reflect.TypeFor[T]()
	f, err := formOf("type", t.String(), t)
	return Codec[T]{f}, err
}

// Size returns the length of every packed T, in bytes.
func (c Codec[T]) Size() int { return c.f.Packed }

// Append appends the packed v.
func (c Codec[T]) Append(dst []byte, v *T) []byte { return c.f.pack(dst, unsafe.Pointer(v), 1) }

// Decode reads the first Size bytes of b. It returns an error if b is shorter or holds an invalid bool or text.
func (c Codec[T]) Decode(b []byte, v *T) error {
	if len(b) < c.f.Packed {
		return fmt.Errorf("ecs: %s has %d bytes, want %d", c.f.Name, len(b), c.f.Packed)
	}
	c.f.unpack(unsafe.Pointer(v), b, 1)
	if !c.f.proper(unsafe.Pointer(v)) {
		*v = *new(T)
		return fmt.Errorf("ecs: %s holds an invalid bool or text", c.f.Name)
	}
	return nil
}

// PackValue appends the packed v. It panics if T cannot be registered. It builds a codec on each call: keep a Codec
// where that cost matters.
func PackValue[T any](dst []byte, v T) []byte {
	c, err := NewCodec[T]()
	if err != nil {
		panic(err)
	}
	return c.Append(dst, &v)
}

// UnpackValue decodes b, which must be exactly one packed T.
func UnpackValue[T any](b []byte) (v T, err error) {
	c, err := NewCodec[T]()
	if err != nil {
		return v, err
	}
	if len(b) != c.Size() {
		return v, fmt.Errorf("ecs: %s has %d bytes, want %d", c.f.Name, len(b), c.Size())
	}
	err = c.Decode(b, &v)
	return v, err
}
