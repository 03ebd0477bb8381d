package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// Access reaches components, resources and events by their numbers in the schema, for script hosts, which know types
// only by name. Like any other parameter of systems and handlers, it defers additions and removals until the system
// returns, and the memory that it exposes is valid until then.
//
// Values are in memory layout, with fields at Field.Offset. Writers must keep bools 0 or 1 and texts as their
// constructors make them. A number that is not in the schema is a bug of the caller and panics.
type Access struct{ w *World }

func (a *Access) bind(w *World) { a.w = w }

// Schema describes the types. The caller must not modify it.
func (a *Access) Schema() *Schema { return &a.w.schema }

// Tables appends, in order of creation, the tables with rows whose entities have all components of with and none of
// without.
func (a *Access) Tables(dst []*Table, with, without []int) []*Table {
	need, not := a.mask(with), a.mask(without)
	for t := range a.w.eachInhabited {
		if t.mask.covers(need) && !t.mask.meets(not) {
			dst = append(dst, t)
		}
	}
	return dst
}

func (a *Access) mask(components []int) (m mask) {
	for _, c := range components {
		m.set(a.w.components[c].id)
	}
	return m
}

// Write is like Table.Column, but for writing: change detection will examine the column.
func (a *Access) Write(t *Table, component int) (c Column, ok bool) {
	if c, ok = t.Column(component); ok {
		t.columns[t.columnOf[component]].touched = true
	}
	return c, ok
}

// Locate finds the row of e; ok is false if e is dead or not yet stored.
func (a *Access) Locate(e Entity) (t *Table, row int, ok bool) { return a.w.Locate(e) }

// Resource returns the memory of a resource, for reading and writing.
func (a *Access) Resource(resource int) []byte {
	r := a.w.resources[resource]
	return bytesAt(r.live, r.form.Size)
}

// Spawn makes an entity with the given components, each listed once, like Spawner.New. It copies values. It returns
// ErrTables if the world has no room for another table.
func (a *Access) Spawn(components []int, values [][]byte) (Entity, error) {
	w := a.w
	b, err := w.combine(a.mask(components))
	if err != nil {
		return Entity{}, err
	}
	if len(b.parts) != len(components) || len(values) != len(components) {
		panic(fmt.Sprintf("ecs: Access.Spawn of %d components, %d of them different, with %d values", len(components), len(b.parts), len(values)))
	}
	for i, c := range components {
		w.components[c].mustFit(values[i])
	}
	e, fresh := w.pool.get()
	from := len(w.queued)
	w.queue = append(w.queue, op{kind: opSpawn, fresh: fresh, entity: e, arg: int32(b.index), values: from})
	for range b.bytes() {
		w.queued = append(w.queued, 0)
	}
	for i, c := range components {
		copy(w.queued[from+b.offset(w.components[c]):], values[i])
	}
	return e, nil
}

// combine returns the bundle for a set of components. It makes the bundle's table at once, so that each table has one
// bundle.
func (w *World) combine(m mask) (*bundle, error) {
	b := w.combined[m]
	if b != nil && b.table != nil {
		return b, nil
	}
	if w.tableOf[m] == nil && len(w.tables) >= maxTables {
		return nil, fmt.Errorf("ecs: %w: a world has at most %d", ErrTables, maxTables)
	}
	if b != nil { // its table was given back
		b.settle(w)
		return b, nil
	}
	b = &bundle{index: len(w.bundles), mask: m}
	offset := 0
	for _, c := range w.components {
		if m.has(c.id) {
			b.parts = append(b.parts, bundlePart{c: c, offset: offset, size: c.Size})
			offset += c.Size
		}
	}
	b.settle(w)
	if w.combined == nil {
		w.combined = map[mask]*bundle{}
	}
	w.bundles, w.combined[m] = append(w.bundles, b), b
	return b, nil
}

func (b *bundle) bytes() (n int) {
	for _, p := range b.parts {
		n += p.size
	}
	return n
}

func (b *bundle) offset(c *component) int {
	for _, p := range b.parts {
		if p.c == c {
			return p.offset
		}
	}
	panic("ecs: the bundle lacks the component")
}

// mustFit panics if value does not have the component's size.
func (f *form) mustFit(value []byte) {
	if len(value) != f.Size {
		panic(fmt.Sprintf("ecs: %s: a value of %d bytes, want %d", f.Name, len(value), f.Size))
	}
}

// Set gives e the component with this value when the system returns, like Comp.Set.
func (a *Access) Set(e Entity, component int, value []byte) {
	w, c := a.w, a.w.components[component]
	c.mustFit(value)
	if w.pool.alive(e) {
		w.queue = append(w.queue, op{kind: opAdd, entity: e, arg: int32(c.id), values: len(w.queued)})
		w.queued = append(w.queued, value...)
	}
}

// Remove takes the component from e when the system returns, like Comp.Remove.
func (a *Access) Remove(e Entity, component int) {
	w, c := a.w, a.w.components[component]
	if w.pool.alive(e) {
		w.queue = append(w.queue, op{kind: opRemove, entity: e, arg: int32(c.id)})
	}
}

// Emit appends an event, like Events.Emit. It copies value.
func (a *Access) Emit(event int, value []byte) {
	s := a.w.events[event]
	s.f.mustFit(value)
	from := len(s.values)
	s.values = append(s.values, value...)
	if s.count++; s.f.Size > 0 {
		s.f.canonical(unsafe.Pointer(&s.values[from]))
	}
}

// Attach stores v with the world, by its type. It is not world state but what a package has set up for this world, such
// as compiled state. Call it only inside Setup, once per type.
func Attach[T any](w *World, v T) {
	t := reflect.TypeFor[T]()
	if w.sealed {
		refuse("ecs: a %s is attached after Setup", t)
	}
	w.claim("attachment", t.String())
	if w.attached == nil {
		w.attached = map[reflect.Type]any{}
	}
	w.attached[t] = v
}

// Attached returns what Attach stored; ok is false if nothing of this type is attached.
func Attached[T any](w *World) (v T, ok bool) {
	v, ok = w.attached[reflect.TypeFor[T]()].(T)
	return v, ok
}
