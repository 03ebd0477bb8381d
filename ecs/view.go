package ecs

import "reflect"

// With, as a field of a view, requires T without reading it.
type With[T any] struct{}

// Without, as a field of a view, excludes entities that have T.
type Without[T any] struct{}

func (With[T]) filter() (reflect.Type, bool)    { return reflect.TypeFor[T](), true }
func (Without[T]) filter() (reflect.Type, bool) { return reflect.TypeFor[T](), false }

// maxViewFields is the largest number of components in a view.
const maxViewFields = 12

// view is the plan of a view struct.
type view struct {
	typ     reflect.Type
	columns bool // its fields are slices
	fields  []viewField
	self    bool // it has an Entity, or []Entity, at selfOff
	selfOff uintptr
	need    mask
	not     mask
}

type viewField struct {
	off      uintptr
	c        *component
	optional bool
	read     bool // the system promises not to write it
}

// viewOf builds the plan of a view, or refuses it.
func viewOf(w *World, t reflect.Type) view {
	v := view{typ: t}
	if t.Kind() != reflect.Struct {
		refuse("ecs: the view %s of a query is not a struct", t)
	}
	pointers := false
	for i := range t.NumField() {
		f := t.Field(i)
		if x, ok := reflect.Zero(f.Type).Interface().(interface{ filter() (reflect.Type, bool) }); ok {
			v.tag(f, tagOfNothing)
			v.filter(w, x)
			continue
		}
		switch k := f.Type.Kind(); {
		case f.Type == entityType:
			pointers = true
			v.setSelf(f)
		case k == reflect.Slice && f.Type.Elem() == entityType:
			v.columns = true
			v.setSelf(f)
		case k == reflect.Pointer, k == reflect.Slice:
			v.columns, pointers = v.columns || k == reflect.Slice, pointers || k == reflect.Pointer
			v.add(w, f)
		default:
			refuse("ecs: view %s: field %s must be a *T, []T, Entity, []Entity, With or Without", t, f.Name)
		}
	}
	if v.columns && pointers {
		refuse("ecs: view %s mixes slices with single values", t)
	}
	return v
}

func (v *view) filter(w *World, x interface{ filter() (reflect.Type, bool) }) {
	t, with := x.filter()
	c := w.component(t, v.typ)
	if with {
		v.need.set(c.id)
	} else {
		v.not.set(c.id)
	}
}

func (v *view) setSelf(f reflect.StructField) {
	v.tag(f, tagOfNothing)
	if v.self {
		refuse("ecs: view %s: field %s is a second entity", v.typ, f.Name)
	}
	v.self, v.selfOff = true, f.Offset
}

func (v *view) add(w *World, f reflect.StructField) {
	if len(v.fields) == maxViewFields {
		refuse("ecs: view %s has more than %d components", v.typ, maxViewFields)
	}
	c := w.component(f.Type.Elem(), v.typ)
	x := viewField{off: f.Offset, c: c}
	v.tag(f, tagOfView)
	if tag := f.Tag.Get(tagOfView); tag != "" {
		var err error
		if x.read, x.optional, err = ParseViewTag(tag); err != nil {
			refuse("ecs: view %s: field %s: %w", v.typ, f.Name, err)
		}
	}
	for _, o := range v.fields {
		if o.c == c {
			refuse("ecs: view %s: field %s is a second %s", v.typ, f.Name, c.Name)
		}
	}
	if !x.optional {
		v.need.set(c.id)
	}
	v.fields = append(v.fields, x)
}

// tag refuses a Wind tag that does not belong on the field.
func (v *view) tag(f reflect.StructField, want string) {
	if err := CheckTagKeys(f.Tag, want); err != nil {
		refuse("ecs: view %s: field %s: %w", v.typ, f.Name, err)
	}
}

// matches reports whether the view includes the entities of t.
func (v *view) matches(t *Table) bool { return t.mask.covers(v.need) && !t.mask.meets(v.not) }

// component returns the registered component of a type; user names the requester in a refusal.
func (w *World) component(t reflect.Type, user any) *component {
	c := w.componentOf[t]
	if c == nil {
		refuse("ecs: %v: %s is not a registered component", user, t)
	}
	return c
}
