package replication

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/ferris1/wind/ecs"
)

// maxShapes bounds how many combinations of components a layout distinguishes.
const maxShapes = 4096

// layout is what both sides derive from a schema: which components travel, and how each is laid out
// as a row of 32-bit words, the form in which states are stored, compared and encoded.
type layout struct {
	comps     []*component // replicated components in schema order
	resources []*component // replicated resources in schema order
	shapes    []*shape     // by number; the resources' shapes come first
	byMask    map[uint64]uint32
	byName    map[string]*component // components
	named     map[string]*component // resources
	spatial   *component            // holds an entity's position, replicated or not; nil: the schema has none
}

// component is one replicated component type or resource.
type component struct {
	t        *ecs.Type
	index    int // in Schema.Components or Schema.Resources
	bit      int // in a shape's mask; for a resource, its shape's number
	resource bool
	slots    []slot
	words    int  // length of a row
	plain    bool // up to eight values of one word each: the k-th word is the k-th value
	maxBits  int  // in a full encoding
	x, y     int  // offsets of the fields X and Y in memory if spatial
	xy       ecs.FieldKind
}

// shape is the set of replicated components that an entity has.
type shape struct {
	mask    uint64
	parts   []part
	words   int // length of an entity's row
	maxBits int
}

// part is a component inside a shape's row.
type part struct {
	*component
	at int // index of its first word in the row
}

func newLayout(s *ecs.Schema) (*layout, error) {
	if err := s.Servable(); err != nil {
		return nil, err
	}
	l := &layout{byMask: map[uint64]uint32{}, byName: map[string]*component{}, named: map[string]*component{}}
	for i := range s.Resources {
		c, err := newComponent(&s.Resources[i], i, true)
		if err != nil {
			return nil, err
		}
		if !c.t.Replicated {
			continue
		}
		c.bit = len(l.resources)
		l.resources = append(l.resources, c)
		l.named[c.t.Name] = c
		l.shapes = append(l.shapes, newShape([]*component{c}, 0))
	}
	for i := range s.Components {
		c, err := newComponent(&s.Components[i], i, false)
		if err != nil {
			return nil, err
		}
		if c.t.Spatial {
			l.spatial = c
		}
		if !c.t.Replicated {
			continue
		}
		c.bit = len(l.comps)
		l.comps = append(l.comps, c)
		l.byName[c.t.Name] = c
	}
	return l, nil
}

func newComponent(t *ecs.Type, index int, resource bool) (*component, error) {
	c := &component{t: t, index: index, resource: resource}
	if t.Spatial && !resource {
		x, y, err := t.Place()
		if err != nil {
			return nil, fmt.Errorf("replication: component %s %w", t.Name, err)
		}
		c.x, c.y, c.xy = x.Offset, y.Offset, x.Kind
	}
	if !t.Replicated {
		return c, nil
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		tag, err := f.Sending()
		if err != nil {
			return nil, fmt.Errorf("replication: %s.%s: %w", t.Name, f.Path, err)
		}
		if tag.Hidden {
			continue
		}
		s, err := newSlot(f, tag)
		if err != nil {
			return nil, fmt.Errorf("replication: %s.%s: %w", t.Name, f.Path, err)
		}
		for range f.Count {
			s.at = c.words
			c.slots = append(c.slots, s)
			c.words += s.words()
			c.maxBits += tag.MaxBits(f) + 1
			s.mem += s.stride
			s.packed += s.stride
		}
	}
	c.plain = len(c.slots) <= 8 && c.words == len(c.slots)
	for i := range c.slots {
		c.plain = c.plain && c.slots[i].kind != slotText
	}
	return c, nil
}

func newShape(parts []*component, mask uint64) *shape {
	s := &shape{mask: mask}
	for _, c := range parts {
		s.parts = append(s.parts, part{c, s.words})
		s.words += c.words
		s.maxBits += c.maxBits
	}
	return s
}

var errShapes = errors.New("replication: too many combinations of components")

// shape returns the number of the shape with these components, creating the shape if needed.
func (l *layout) shape(mask uint64) (uint32, error) {
	if n, ok := l.byMask[mask]; ok {
		return n, nil
	}
	if len(l.shapes) >= maxShapes {
		return 0, errShapes
	}
	if bits.Len64(mask) > len(l.comps) {
		return 0, errors.New("replication: a component outside the schema")
	}
	var parts []*component
	for _, c := range l.comps {
		if mask>>c.bit&1 == 1 {
			parts = append(parts, c)
		}
	}
	n := uint32(len(l.shapes))
	l.shapes = append(l.shapes, newShape(parts, mask))
	l.byMask[mask] = n
	return n, nil
}
