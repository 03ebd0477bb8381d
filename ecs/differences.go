package ecs

import (
	"bytes"
	"fmt"
	"slices"
)

// Difference is one difference between two worlds of one game: in a field of a component or of a resource or, if Field
// is empty, in an entity, a session or the layout.
type Difference struct {
	What   string `json:"what"`             // component, resource, entity, session or layout
	Name   string `json:"name,omitempty"`   // of the component or the resource
	Entity string `json:"entity,omitempty"` // the entity or session
	Field  string `json:"field,omitempty"`
	Have   string `json:"have"` // in the first world
	Other  string `json:"other"`
}

// Differences compares two worlds of one game at one tick, field by field, in the order of a's tables and rows. It
// returns at most limit differences (0: all) and their total number. It reports the order of rows and of free slots,
// which affects the future, only if every value is equal. Like read-only methods, it may run concurrently with those
// between two Steps of either world.
func Differences(a, b *World, limit int) (all []Difference, n int) {
	d := &comparison{a: a, b: b, limit: limit}
	d.entities()
	d.resources()
	d.sessions()
	if d.n == 0 && a.Checksum() != b.Checksum() {
		d.layout()
	}
	return d.all, d.n
}

// String describes the place and both values: component position of entity 12.1, X: 3.5 in one, 4 in the other.
func (d Difference) String() string { return d.Between("in one", "in the other") }

// Between is like String, but names the two worlds: X: 3.5 recorded, 4 computed.
func (d Difference) Between(have, other string) string {
	where := d.What
	if d.Name != "" {
		where += " " + d.Name
	}
	if d.Entity != "" && d.What == "component" {
		where += " of entity " + d.Entity
	} else if d.Entity != "" {
		where += " " + d.Entity
	}
	if d.Field != "" {
		where += ", " + d.Field
	}
	return fmt.Sprintf("%s: %s %s, %s %s", where, d.Have, have, d.Other, other)
}

// comparison is a pass over two worlds.
type comparison struct {
	a, b  *World
	limit int
	all   []Difference
	n     int
}

func (d *comparison) add(x Difference) {
	if d.n++; d.limit == 0 || len(d.all) < d.limit {
		d.all = append(d.all, x)
	}
}

// entities compares the entities of a with those of b, then reports those that only b has.
func (d *comparison) entities() {
	for _, t := range d.a.tables {
		for row, e := range t.entities {
			if other, otherRow, ok := d.b.Locate(e); ok {
				d.entity(e, t, row, other, otherRow)
			} else {
				d.add(Difference{What: "entity", Entity: e.String(), Have: "alive", Other: "dead"})
			}
		}
	}
	for _, t := range d.b.tables {
		for _, e := range t.entities {
			if _, _, ok := d.a.Locate(e); !ok {
				d.add(Difference{What: "entity", Entity: e.String(), Have: "dead", Other: "alive"})
			}
		}
	}
}

// entity compares an entity that both worlds have.
func (d *comparison) entity(e Entity, t *Table, row int, other *Table, otherRow int) {
	for i := range min(len(d.a.components), len(d.b.components)) {
		typ := &d.a.components[i].Type
		has, otherHas := t.Has(i), other.Has(i)
		switch {
		case has != otherHas:
			x := Difference{What: "component", Name: typ.Name, Entity: e.String(), Have: "there", Other: "missing"}
			if otherHas {
				x.Have, x.Other = x.Other, x.Have
			}
			d.add(x)
		case has && !typ.Transient:
			mine, _ := t.Column(i)
			theirs, _ := other.Column(i)
			d.fields(Difference{What: "component", Name: typ.Name, Entity: e.String()}, typ, mine.row(row), theirs.row(otherRow))
		}
	}
}

func (c Column) row(i int) []byte { return c.Data[i*c.Stride : (i+1)*c.Stride] }

// fields compares two values of one type, in memory layout.
func (d *comparison) fields(at Difference, typ *Type, mine, theirs []byte) {
	if bytes.Equal(mine, theirs) {
		return
	}
	for i := range typ.Fields {
		f := &typ.Fields[i]
		for k := range f.Count {
			from := f.Offset + k*f.Width
			x, y := mine[from:from+f.Width], theirs[from:from+f.Width]
			if bytes.Equal(x, y) {
				continue
			}
			diff := at
			if diff.Field = f.Path; f.Array {
				diff.Field = fmt.Sprintf("%s[%d]", f.Path, k)
			}
			if diff.Have, diff.Other = f.Kind.format(x), f.Kind.format(y); diff.Have == diff.Other {
				diff.Have, diff.Other = fmt.Sprintf("%s (bytes %x)", diff.Have, x), fmt.Sprintf("%s (bytes %x)", diff.Other, y)
			}
			d.add(diff)
		}
	}
}

func (d *comparison) resources() {
	for i := range min(len(d.a.resources), len(d.b.resources)) {
		if typ := &d.a.resources[i].form.Type; !typ.Transient {
			mine, theirs := d.a.ResourceColumn(i), d.b.ResourceColumn(i)
			d.fields(Difference{What: "resource", Name: typ.Name}, typ, mine.Data, theirs.Data)
		}
	}
}

func (d *comparison) sessions() {
	mine, theirs := slices.Collect(d.a.EachSession), slices.Collect(d.b.EachSession)
	other := map[uint64]Session{}
	for _, s := range theirs {
		other[s.ID] = s
	}
	for _, s := range mine {
		o, ok := other[s.ID]
		if delete(other, s.ID); !ok {
			d.add(Difference{What: "session", Entity: fmt.Sprint(s.ID), Have: "there", Other: "missing"})
		} else if s != o {
			d.add(Difference{What: "session", Entity: fmt.Sprint(s.ID), Have: fmt.Sprintf("%+v", s), Other: fmt.Sprintf("%+v", o)})
		}
	}
	for _, s := range theirs {
		if _, left := other[s.ID]; left {
			d.add(Difference{What: "session", Entity: fmt.Sprint(s.ID), Have: "missing", Other: "there"})
		}
	}
}

// layout reports the first difference in layout between worlds with equal values.
func (d *comparison) layout() {
	for i := range min(len(d.a.tables), len(d.b.tables)) {
		x, y := d.a.tables[i], d.b.tables[i]
		for row := range min(len(x.entities), len(y.entities)) {
			if x.entities[row] != y.entities[row] {
				d.add(Difference{
					What: "layout", Field: fmt.Sprintf("table %d, row %d", i, row),
					Have: "entity " + x.entities[row].String(), Other: "entity " + y.entities[row].String(),
				})
				return
			}
		}
		if x.mask != y.mask {
			d.add(Difference{What: "layout", Field: fmt.Sprintf("table %d", i), Have: d.a.named(x), Other: d.b.named(y)})
			return
		}
	}
	x := Difference{
		What: "layout", Field: "tables, free slots and what a session repeats",
		Have: fmt.Sprintf("%d tables, %d free", len(d.a.tables), d.a.pool.free), Other: fmt.Sprintf("%d tables, %d free", len(d.b.tables), d.b.pool.free),
	}
	if x.Have == x.Other {
		x.Have, x.Other = x.Have+" in one order", x.Other+" in another"
	}
	d.add(x)
}

// named returns the names of a table's components.
func (w *World) named(t *Table) string {
	var names []string
	for i := range t.columns {
		names = append(names, t.columns[i].c.Name)
	}
	return fmt.Sprint(names)
}
