package service

import (
	"fmt"
	"slices"
	"strconv"

	starproto "go.starlark.net/lib/proto"
	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/netcode/rpc"
)

// decodeAs decodes JSON as a message. Everything that a message can hold survives the round trip.
func decodeAs(m messageType, b []byte) (starlark.Value, error) {
	x := dynamicpb.NewMessage(m.desc)
	if err := rpc.Decode(rpc.JSON, b, x); err != nil {
		return nil, fmt.Errorf("it is not a valid %s: %w", m.desc.Name(), err)
	}
	wire, err := proto.Marshal(x)
	if err != nil {
		return nil, err
	}
	return toStar(m.desc, wire)
}

// Unpack implements starlark.Unpacker, for an argument that names a message.
func (m *messageType) Unpack(v starlark.Value) error {
	x, ok := v.(messageType)
	if !ok {
		return fmt.Errorf("got %s, want a message type", v.Type())
	}
	*m = x
	return nil
}

// widened converts fields of a message to Starlark's types. Protobuf's JSON writes 64-bit integers and map keys as
// strings.
func widened(d protoreflect.MessageDescriptor, items []starlark.Tuple) []starlark.Tuple {
	wide := items
	for i, kv := range items {
		name, _ := starlark.AsString(kv[0])
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil || !narrow(f, kv[1]) {
			continue
		}
		if &wide[0] == &items[0] { // items belongs to the script
			wide = slices.Clone(items)
		}
		wide[i] = starlark.Tuple{kv[0], widenedField(f, kv[1])}
	}
	return wide
}

// narrow reports whether a value is, or may contain, one that JSON writes differently.
func narrow(f protoreflect.FieldDescriptor, v starlark.Value) bool {
	switch v.(type) {
	case *starlark.Dict, *starlark.List:
		return true
	case starlark.String:
		return f.Kind() != protoreflect.StringKind
	}
	return false
}

func widenedField(f protoreflect.FieldDescriptor, v starlark.Value) starlark.Value {
	switch x := v.(type) {
	case *starlark.Dict:
		if f.IsMap() {
			out := starlark.NewDict(x.Len())
			for _, kv := range x.Items() {
				if out.SetKey(widenedOne(f.MapKey(), kv[0]), widenedOne(f.MapValue(), kv[1])) != nil {
					return v
				}
			}
			return out
		}
	case *starlark.List:
		if f.IsList() {
			out := make([]starlark.Value, x.Len())
			for i := range out {
				out[i] = widenedOne(f, x.Index(i))
			}
			return starlark.NewList(out)
		}
	}
	return widenedOne(f, v)
}

// widenedOne converts a value that is not a list or map.
func widenedOne(f protoreflect.FieldDescriptor, v starlark.Value) starlark.Value {
	if dict, ok := v.(*starlark.Dict); ok && f.Message() != nil {
		out := starlark.NewDict(dict.Len())
		for _, kv := range widened(f.Message(), dict.Items()) {
			if out.SetKey(kv[0], kv[1]) != nil {
				return v
			}
		}
		return out
	}
	text, ok := starlark.AsString(v)
	if !ok {
		return v
	}
	switch f.Kind() {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return starlark.MakeInt64(i)
		}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return starlark.MakeUint64(u)
		}
	}
	return v
}

// setAttr implements setattr(message, "field", value), for a field whose name a script cannot write, such as from.
var setAttr = starlark.NewBuiltin("setattr", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var m *starproto.Message
	var name string
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 3, &m, &name, &v); err != nil {
		return nil, err
	}
	d := m.Message().ProtoReflect().Descriptor()
	f := d.Fields().ByName(protoreflect.Name(name))
	if f == nil {
		return nil, noField(d, name)
	}
	return starlark.None, m.SetField(name, widenedField(f, v))
})
