package ecs

import (
	"fmt"
	"strconv"
	"strings"
)

// Find returns the field at a path such as Box.Min.X or Slots[3], for tools and scripts. The first letter of each word
// may be in either case, as Format writes it. An element of an array field is returned as a Field. For an unknown path,
// the error suggests the nearest known one.
func (t *Type) Find(path string) (Field, error) {
	f, ok, err := t.find(path)
	if !ok && err == nil {
		err = t.unknown(path)
	}
	if err != nil {
		return Field{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	return f, nil
}

func (t *Type) unknown(path string) error {
	return fmt.Errorf("no field %q%s", path, meant(path, t.paths()))
}

// find is Find without an error for an unknown path.
func (t *Type) find(path string) (f Field, ok bool, err error) {
	for i := range t.Fields {
		if f := &t.Fields[i]; samePath(f.Path, path) {
			return *f, true, nil
		}
	}
	return t.element(path)
}

// element finds one element of an array field.
func (t *Type) element(path string) (f Field, ok bool, err error) {
	open := strings.LastIndexByte(path, '[')
	if open < 0 || path[len(path)-1] != ']' {
		return f, false, nil
	}
	whole, index := path[:open], path[open+1:len(path)-1]
	for i := range t.Fields {
		if f = t.Fields[i]; !f.Array || !samePath(f.Path, whole) {
			continue
		}
		n, err := strconv.ParseUint(index, 10, 31)
		if err != nil || int(n) >= f.Count {
			return Field{}, false, fmt.Errorf("%s has [0] to [%d], not [%s]", lowerPath(f.Path), f.Count-1, index)
		}
		f.Path += "[" + index + "]"
		f.Offset, f.PackedOffset = f.Offset+int(n)*f.Width, f.PackedOffset+int(n)*f.Width
		f.Count, f.Array = 1, false
		return f, true, nil
	}
	return Field{}, false, nil
}

// samePath compares paths, ignoring the case of each word's first letter.
func samePath(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	first := true
	for i := range len(a) {
		if a[i] != b[i] && !(first && lowerByte(a[i]) == lowerByte(b[i])) {
			return false
		}
		first = a[i] == '.'
	}
	return true
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// paths returns the fields' paths as people write them.
func (t *Type) paths() []string {
	list := make([]string, len(t.Fields))
	for i := range t.Fields {
		list[i] = lowerPath(t.Fields[i].Path)
	}
	return list
}

// lowerPath returns a path as people write it: at.x, but HP.
func lowerPath(path string) string {
	words := strings.Split(path, ".")
	for i, w := range words {
		if len(w) < 2 || w[1] < 'A' || w[1] > 'Z' {
			words[i] = lowerFirst(w)
		}
	}
	return strings.Join(words, ".")
}
