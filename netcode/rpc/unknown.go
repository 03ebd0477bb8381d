package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/ecs"
)

// UnknownField is an error of Decode: a JSON payload has a field that the message lacks. Services in every language tell
// their callers the same text.
type UnknownField struct{ text string }

// Error returns `unknown field "txt" of GreetRequest (did you mean text?)`, after the path to an inner message.
func (e *UnknownField) Error() string { return e.text }

// jsonError explains why JSON is not a message.
func jsonError(err error, payload []byte, m proto.Message) error {
	if text := unknownIn(m.ProtoReflect().Descriptor(), payload, 0); text != "" {
		return &UnknownField{text}
	}
	return errors.New(ownWords.ReplaceAllString(strings.ReplaceAll(err.Error(), "\u00a0", " "), ""))
}

// ownWords is how the errors of Protobuf's JSON begin. The place in a payload of one line helps nobody.
var ownWords = regexp.MustCompile(`^proto: *(\(line \d+:\d+\): )?`)

// maxUnknownDepth bounds how deep unknownIn looks.
const maxUnknownDepth = 32

// unknownIn describes the first field in a JSON object that a message lacks, or returns "".
func unknownIn(d protoreflect.MessageDescriptor, object []byte, depth int) string {
	var fields map[string]json.RawMessage
	if depth > maxUnknownDepth || d.FullName().Parent() == "google.protobuf" || json.Unmarshal(object, &fields) != nil {
		return "" // the JSON of google.protobuf's own messages does not have their fields
	}
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f := fieldOf(d, name)
		if f == nil && !strings.HasPrefix(name, "[") { // an extension
			return unknown(d, name)
		}
	}
	for _, name := range names {
		f := fieldOf(d, name)
		if f == nil {
			continue
		}
		for _, inner := range innerOf(f, fields[name]) {
			of := f
			if f.IsMap() {
				of = f.MapValue()
			}
			if text := unknownIn(of.Message(), inner, depth+1); text != "" {
				return fmt.Sprintf("%s.%s: %s", d.Name(), f.Name(), text)
			}
		}
	}
	return ""
}

// fieldOf returns the field with a name, as the schema or its JSON has it.
func fieldOf(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByJSONName(name); f != nil {
		return f
	}
	return d.Fields().ByTextName(name)
}

// innerOf returns the messages in a field's value.
func innerOf(f protoreflect.FieldDescriptor, value json.RawMessage) (inner []json.RawMessage) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return nil
		}
		var m map[string]json.RawMessage
		_ = json.Unmarshal(value, &m) // the caller's error stands
		var keys []string
		for key := range m {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			inner = append(inner, m[key])
		}
	case f.Message() == nil:
	case f.IsList():
		_ = json.Unmarshal(value, &inner) // the caller's error stands
	default:
		inner = append(inner, value)
	}
	return inner
}

func unknown(d protoreflect.MessageDescriptor, name string) string {
	var known []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		known = append(known, f.TextName(), f.JSONName())
	}
	slices.Sort(known)
	text := fmt.Sprintf("unknown field %q of %s", clipped(name), d.Name())
	if near := ecs.Nearest(clipped(name), known); near != "" {
		text += fmt.Sprintf(" (did you mean %s?)", near)
	}
	return text
}

func clipped(name string) string { return strings.ToValidUTF8(name[:min(len(name), 64)], "") }
