package ecstest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// difference says in words where two worlds of one game first differ; empty when no value and no row does.
// have and want name the two.
func difference(a, b *ecs.World, have, want string) string {
	ta, tb := a.Tables(), b.Tables()
	for i := range min(len(ta), len(tb)) {
		if d := tableDifference(a.Schema(), ta[i], tb[i], have, want); d != "" {
			return d
		}
	}
	for i := range a.Schema().Resources {
		typ := &a.Schema().Resources[i]
		if typ.Transient {
			continue
		}
		if d := rowDifference(typ, a.ResourceColumn(i), b.ResourceColumn(i), 0, have, want); d != "" {
			return "resource " + typ.Name + ": " + d
		}
	}
	sa, sb := slices.Collect(a.EachSession), slices.Collect(b.EachSession)
	for i := range min(len(sa), len(sb)) {
		if sa[i] != sb[i] {
			return fmt.Sprintf("session %d: %+v %s, %+v %s", sa[i].ID, sa[i], have, sb[i], want)
		}
	}
	switch {
	case len(sa) != len(sb):
		return fmt.Sprintf("%d sessions %s, %d %s", len(sa), have, len(sb), want)
	case len(ta) != len(tb):
		return fmt.Sprintf("%d combinations of components %s, %d %s", len(ta), have, len(tb), want)
	}
	return ""
}

func tableDifference(schema *ecs.Schema, a, b *ecs.Table, have, want string) string {
	for i := range schema.Components {
		if a.Has(i) != b.Has(i) {
			return fmt.Sprintf("table %d: another combination of components, by %s", a.Index(), schema.Components[i].Name)
		}
	}
	ea, eb := a.Entities(), b.Entities()
	for row := range min(len(ea), len(eb)) {
		if ea[row] != eb[row] {
			return fmt.Sprintf("table %d, row %d: entity %s %s, entity %s %s", a.Index(), row, ea[row], have, eb[row], want)
		}
	}
	if len(ea) != len(eb) {
		return fmt.Sprintf("table %d (%s): %d entities %s, %d %s", a.Index(), componentsOf(schema, a), len(ea), have, len(eb), want)
	}
	for i := range schema.Components {
		typ := &schema.Components[i]
		ca, ok := a.Column(i)
		cb, _ := b.Column(i)
		if !ok || typ.Transient {
			continue
		}
		for row := range ea {
			if d := rowDifference(typ, ca, cb, row, have, want); d != "" {
				return fmt.Sprintf("component %s of entity %s: %s", typ.Name, ea[row], d)
			}
		}
	}
	return ""
}

func componentsOf(schema *ecs.Schema, t *ecs.Table) (s string) {
	for i := range schema.Components {
		if t.Has(i) {
			s += " " + schema.Components[i].Name
		}
	}
	return s[min(1, len(s)):]
}

func rowDifference(typ *ecs.Type, a, b ecs.Column, row int, have, want string) string {
	if typ.Packed == 0 {
		return ""
	}
	pa, pb := packed(typ, a, row), packed(typ, b, row)
	if bytes.Equal(pa, pb) {
		return ""
	}
	return fmt.Sprintf("%s %s, %s %s", typ.Format(pa), have, typ.Format(pb), want)
}

// packed is a row without its padding.
func packed(typ *ecs.Type, c ecs.Column, row int) []byte {
	b := make([]byte, typ.Packed)
	data := c.Data[row*c.Stride:][:c.Stride]
	for i := range typ.Fields {
		f := &typ.Fields[i]
		copy(b[f.PackedOffset:], data[f.Offset:][:f.Width*f.Count])
	}
	return b
}
