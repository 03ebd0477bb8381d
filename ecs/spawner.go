package ecs

import (
	"reflect"
	"unsafe"
)

// Spawner makes entities from bundles B: structs whose fields are components, embedded or named.
type Spawner[B any] struct {
	w    *World
	b    *bundle
	size int
}

// bundle is the plan of a B.
type bundle struct {
	index int
	mask  mask
	table *Table // found at the first spawn, so that unused spawners do not affect the order of tables
	parts []bundlePart
}

type bundlePart struct {
	c                    *component
	offset, size, column int
}

func (s *Spawner[B]) bind(w *World) {
	t := reflect.TypeFor[B]()
	if t.Kind() != reflect.Struct {
		refuse("ecs: the bundle %s of a spawner is not a struct", t)
	}
	b := &bundle{}
	for i := range t.NumField() {
		f := t.Field(i)
		if err := CheckTagKeys(f.Tag, tagOfNothing); err != nil {
			refuse("ecs: bundle %s: field %s: %w", t, f.Name, err)
		}
		c := w.component(f.Type, t)
		if b.mask.has(c.id) {
			refuse("ecs: bundle %s: field %s is a second %s", t, f.Name, c.Name)
		}
		b.mask.set(c.id)
		b.parts = append(b.parts, bundlePart{c: c, offset: int(f.Offset), size: c.Size})
	}
	b.index = len(w.bundles)
	w.bundles = append(w.bundles, b)
	s.w, s.b, s.size = w, b, int(t.Size())
}

// settle finds or makes the bundle's table.
func (b *bundle) settle(w *World) {
	b.table = w.table(b.mask)
	for i := range b.parts {
		b.parts[i].column = int(b.table.columnOf[b.parts[i].c.id])
	}
}

// New spawns b when the system returns. The returned entity is alive and can be stored at once; queries and Comp.Get
// find it only after the system has returned.
func (s *Spawner[B]) New(b B) Entity {
	e, fresh := s.w.pool.get()
	s.w.queue = append(s.w.queue, op{kind: opSpawn, fresh: fresh, entity: e, arg: int32(s.b.index), values: len(s.w.queued)})
	s.w.queued = append(s.w.queued, bytesAt(unsafe.Pointer(&b), s.size)...)
	return e
}
