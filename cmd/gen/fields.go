package gen

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxNested is how many levels of nested fields a description shows.
const maxNested = 3

// describe returns a line for each field of a message: name, type, comment.
func describe(m protoreflect.MessageDescriptor) (all []string) {
	width := 0
	for i := range m.Fields().Len() {
		width = max(width, len(m.Fields().Get(i).Name()))
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		line := fmt.Sprintf("%-*s  %s", width, f.Name(), typeOf(f, maxNested))
		if c := fieldComment(f); c != "" {
			line += "  (" + c + ")"
		}
		all = append(all, line)
	}
	return all
}

// fieldComment returns the comment after or above a field, on one line.
func fieldComment(f protoreflect.FieldDescriptor) string {
	at := f.ParentFile().SourceLocations().ByDescriptor(f)
	comment := at.TrailingComments
	if comment == "" {
		comment = at.LeadingComments
	}
	return strings.Join(strings.Fields(strings.Join(lines(comment), " ")), " ")
}

// typeOf describes a field's type in Protobuf's words, with the fields of messages and the values of enums.
func typeOf(f protoreflect.FieldDescriptor, depth int) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", typeOf(f.MapKey(), depth), typeOf(f.MapValue(), depth))
	case f.IsList():
		return "list of " + single(f, depth)
	case f.ContainingOneof() != nil && !f.ContainingOneof().IsSynthetic():
		return fmt.Sprintf("%s, one of %s", single(f, depth), f.ContainingOneof().Name())
	}
	return single(f, depth)
}

func single(f protoreflect.FieldDescriptor, depth int) string {
	switch {
	case f.Message() != nil:
		return string(f.Message().Name()) + inside(f.Message(), depth)
	case f.Enum() != nil:
		var values []string
		for i := range f.Enum().Values().Len() {
			values = append(values, string(f.Enum().Values().Get(i).Name()))
		}
		return string(f.Enum().Name()) + ": " + strings.Join(values, " | ")
	}
	return f.Kind().String()
}

// inside shows the fields of a message within a line, down to a maximum depth, because messages can contain themselves.
func inside(m protoreflect.MessageDescriptor, depth int) string {
	if depth == 0 || m.Fields().Len() == 0 {
		return ""
	}
	var parts []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		parts = append(parts, string(f.Name())+" "+typeOf(f, depth-1))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// call shows how to construct a message: Name(field, field).
func call(m protoreflect.MessageDescriptor) string {
	var parts []string
	for i := range m.Fields().Len() {
		parts = append(parts, string(m.Fields().Get(i).Name())+" = …")
	}
	return fmt.Sprintf("%s(%s)", m.Name(), strings.Join(parts, ", "))
}
