package analyzer

import (
	"fmt"
	"go/ast"
	"go/types"
	"reflect"
	"strconv"

	"github.com/ferris1/wind/ecs"
)

// tagProblems reports wind and ecs tags that Setup would refuse, and those that no Setup reads. The rules are those of
// ecs.ParseTag and the functions beside it; here the type of a field decides whether it belongs to a component or to a
// view.
func (c *checker) tagProblems(report func(problem)) {
	if !c.usesECS() {
		return // another library may use a tag named ecs
	}
	for _, f := range c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			st, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range st.Fields.List {
				if field.Tag == nil {
					continue
				}
				if err := c.fieldTag(field); err != nil {
					report(problem{pos: field.Tag.Pos(), end: field.Tag.End(), rule: "tag", what: err.Error(), remedy: "ecs.New refuses the game"})
				}
			}
			return true
		})
	}
}

func (c *checker) usesECS() bool {
	if isECS(c.pass.Pkg.Path()) {
		return true
	}
	for _, p := range c.pass.Pkg.Imports() {
		if isECS(p.Path()) {
			return true
		}
	}
	return false
}

// fieldTag returns what is wrong with the tag of a field.
func (c *checker) fieldTag(field *ast.Field) error {
	text, err := strconv.Unquote(field.Tag.Value)
	if err != nil {
		return nil // the compiler reports it
	}
	tag, t := reflect.StructTag(text), c.pass.TypesInfo.TypeOf(field.Type)
	switch {
	case t == nil:
		return nil
	case isFilter(t):
		return ecs.CheckTagKeys(tag, "")
	case isViewField(t):
		if err := ecs.CheckTagKeys(tag, "ecs"); err != nil {
			return err
		}
		_, _, err := viewTag(tag)
		return err
	case kindOf(t) == ecs.KindEntity && tag.Get("ecs") != "":
		return ecs.CheckTagKeys(tag, "")
	}
	if err := ecs.CheckTagKeys(tag, "wind"); err != nil {
		return err
	}
	own, ok := tag.Lookup("wind")
	if !ok {
		return nil
	}
	path := ""
	if len(field.Names) > 0 {
		path = field.Names[0].Name
	}
	return leafTags(t, own, path, true)
}

// leafTags checks a tag for every field inside t that inherits it.
func leafTags(t types.Type, tag, path string, top bool) error {
	kind := kindOf(t)
	if _, err := ecs.ParseTag(tag, kind); err != nil {
		if top {
			return err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if kind != ecs.KindInvalid {
		return nil
	}
	switch u := t.Underlying().(type) {
	case *types.Array:
		return leafTags(u.Elem(), tag, path, top && kindOf(u.Elem()) != ecs.KindInvalid)
	case *types.Struct:
		for i := range u.NumFields() {
			if _, own := reflect.StructTag(u.Tag(i)).Lookup("wind"); own || u.Field(i).Name() == "_" {
				continue
			}
			if err := leafTags(u.Field(i).Type(), tag, path+"."+u.Field(i).Name(), false); err != nil {
				return err
			}
		}
	}
	return nil
}

func viewTag(tag reflect.StructTag) (read, optional bool, err error) {
	if text := tag.Get("ecs"); text != "" {
		return ecs.ParseViewTag(text)
	}
	return false, false, nil
}

// isViewField reports whether a field of type t can only belong to a query's view: components contain no references.
func isViewField(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Slice:
		return true
	}
	return false
}

func isFilter(t types.Type) bool { return ecsType(t, "With") || ecsType(t, "Without") }

func ecsType(t types.Type, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Name() == name && named.Obj().Pkg() != nil && isECS(named.Obj().Pkg().Path())
}

// kindOf returns the kind of field that ecs makes of a type, KindInvalid for a struct or an array of structs.
func kindOf(t types.Type) ecs.FieldKind {
	if ecsType(t, "Entity") {
		return ecs.KindEntity
	}
	for _, name := range []string{"Text16", "Text32", "Text64"} {
		if ecsType(t, name) {
			return ecs.KindText
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return map[types.BasicKind]ecs.FieldKind{
			types.Bool: ecs.KindBool, types.Int8: ecs.KindI8, types.Int16: ecs.KindI16, types.Int32: ecs.KindI32, types.Int64: ecs.KindI64,
			types.Uint8: ecs.KindU8, types.Uint16: ecs.KindU16, types.Uint32: ecs.KindU32, types.Uint64: ecs.KindU64, types.Float32: ecs.KindF32, types.Float64: ecs.KindF64,
		}[u.Kind()]
	case *types.Array:
		return kindOf(u.Elem())
	}
	return ecs.KindInvalid
}
