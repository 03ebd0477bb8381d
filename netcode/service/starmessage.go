package service

import (
	"fmt"
	"slices"
	"strings"

	starproto "go.starlark.net/lib/proto"
	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/ecs"
)

// maxNesting bounds how deeply scripts may nest messages.
const maxNesting = 100

var errNesting = fmt.Errorf("messages nested more than %d deep", maxNesting)

// messageType is a message type as scripts see it. Calling it makes a message; its attributes are the messages and enums
// declared inside it.
type messageType struct {
	desc protoreflect.MessageDescriptor
}

func (m messageType) Name() string          { return string(m.desc.Name()) }
func (m messageType) String() string        { return string(m.desc.FullName()) }
func (m messageType) Type() string          { return "message" }
func (m messageType) Freeze()               {}
func (m messageType) Truth() starlark.Bool  { return true }
func (m messageType) Hash() (uint32, error) { return starlark.String(m.desc.FullName()).Hash() }

// AttrNames implements starlark.HasAttrs.
func (m messageType) AttrNames() (names []string) {
	for i := range m.desc.Messages().Len() {
		if inner := m.desc.Messages().Get(i); !inner.IsMapEntry() {
			names = append(names, string(inner.Name()))
		}
	}
	for i := range m.desc.Enums().Len() {
		names = append(names, string(m.desc.Enums().Get(i).Name()))
	}
	slices.Sort(names)
	return names
}

// Attr implements starlark.HasAttrs.
func (m messageType) Attr(name string) (starlark.Value, error) {
	if inner := m.desc.Messages().ByName(protoreflect.Name(name)); inner != nil && !inner.IsMapEntry() {
		return messageType{inner}, nil
	}
	if inner := m.desc.Enums().ByName(protoreflect.Name(name)); inner != nil {
		return starproto.EnumDescriptor{Desc: inner}, nil
	}
	return nil, nil
}

// CallInternal makes a message from keyword arguments, PlayerLoginResponse(player_id = "a", result = True), from a dict,
// or as a copy.
func (m messageType) CallInternal(t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	items := kwargs
	if len(args) == 1 {
		if d, ok := args[0].(*starlark.Dict); ok {
			items = d.Items()
		}
	}
	if err := checkFields(m.desc, items, 0); err != nil {
		return nil, err
	}
	wide := widened(m.desc, items)
	switch {
	case len(items) == 0 || &wide[0] == &items[0]:
	case len(kwargs) > 0:
		kwargs = wide
	default:
		dict := starlark.NewDict(len(wide))
		for _, kv := range wide {
			if err := dict.SetKey(kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
		args = starlark.Tuple{dict}
	}
	v, err := starproto.MessageDescriptor{Desc: m.desc}.CallInternal(t, args, kwargs)
	if err != nil && !strings.HasPrefix(err.Error(), m.Name()+":") {
		return nil, fmt.Errorf("%s: %w", m.Name(), err)
	}
	return v, err
}

// checkFields checks field names, including those in dicts among the values, against a message.
func checkFields(d protoreflect.MessageDescriptor, items []starlark.Tuple, depth int) error {
	if depth > maxNesting {
		return errNesting
	}
	for _, kv := range items {
		name, ok := starlark.AsString(kv[0])
		if !ok {
			return fmt.Errorf("%s: the key %s is a %s: field names are strings", d.Name(), kv[0], kv[0].Type())
		}
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			return noField(d, name)
		}
		if inner := f.Message(); inner != nil && f.IsMap() {
			if v, ok := kv[1].(*starlark.Dict); ok && f.MapValue().Message() != nil {
				for _, x := range v.Items() {
					if err := checkDict(f.MapValue().Message(), x[1], depth); err != nil {
						return err
					}
				}
			}
		} else if inner != nil {
			if err := checkDict(inner, kv[1], depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDict does the same for a field's value: a dict, or a list of dicts.
func checkDict(d protoreflect.MessageDescriptor, v starlark.Value, depth int) error {
	switch v := v.(type) {
	case *starlark.Dict:
		return checkFields(d, v.Items(), depth+1)
	case *starlark.List:
		for x := range v.Elements() {
			if x, ok := x.(*starlark.Dict); ok {
				if err := checkFields(d, x.Items(), depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func noField(d protoreflect.MessageDescriptor, name string) error {
	var fields []string
	for i := range d.Fields().Len() {
		fields = append(fields, string(d.Fields().Get(i).Name()))
	}
	if near := ecs.Nearest(name, fields); near != "" {
		return fmt.Errorf("%s has no field %s (did you mean %s?)", d.Name(), name, near)
	}
	return fmt.Errorf("%s has no field %s", d.Name(), name)
}

// sound refuses a message that a script has put into itself, or nested too deeply: encoding it would not end.
func sound(m proto.Message) error { return soundAt(m.ProtoReflect(), 0) }

func soundAt(m protoreflect.Message, depth int) (err error) {
	if depth > maxNesting {
		return errNesting
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		err = eachMessage(f, v, func(inner protoreflect.Message) error { return soundAt(inner, depth+1) })
		return err == nil
	})
	return err
}

// eachMessage calls do with each message in a field.
func eachMessage(f protoreflect.FieldDescriptor, v protoreflect.Value, do func(protoreflect.Message) error) (err error) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() != nil {
			v.Map().Range(func(_ protoreflect.MapKey, x protoreflect.Value) bool {
				err = do(x.Message())
				return err == nil
			})
		}
	case f.Message() == nil:
	case f.IsList():
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = do(v.List().Get(i).Message())
		}
	default:
		err = do(v.Message())
	}
	return err
}

// toStar decodes a message for scripts. The payload may come from anywhere: toStar refuses unknown enum numbers, since a
// script could not read them.
func toStar(d protoreflect.MessageDescriptor, payload []byte) (*starproto.Message, error) {
	m, err := starproto.Unmarshal(d, payload)
	if err == nil && hasEnums(d, map[protoreflect.FullName]bool{}) {
		err = knownEnums(m.Message().ProtoReflect())
	}
	return m, err
}

// hasEnums reports whether a message, or one inside it, has an enum.
func hasEnums(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[d.FullName()] {
		return false
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if f.Enum() != nil || f.Message() != nil && hasEnums(f.Message(), seen) {
			return true
		}
	}
	return false
}

func knownEnums(m protoreflect.Message) (err error) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		of := f
		if f.IsMap() {
			of = f.MapValue()
		}
		if of.Enum() == nil {
			err = eachMessage(f, v, knownEnums)
			return err == nil
		}
		check := func(v protoreflect.Value) bool {
			if of.Enum().Values().ByNumber(v.Enum()) == nil {
				err = fmt.Errorf("%s: %d is not a value of %s", f.Name(), v.Enum(), of.Enum().Name())
			}
			return err == nil
		}
		switch {
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, x protoreflect.Value) bool { return check(x) })
		case f.IsList():
			for i := range v.List().Len() {
				check(v.List().Get(i))
			}
		default:
			check(v)
		}
		return err == nil
	})
	return err
}

// hasField implements has(message, "field"), which reports whether the field was set.
var hasField = starlark.NewBuiltin("has", func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var m *starproto.Message
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 2, &m, &name); err != nil {
		return nil, err
	}
	pm := m.Message().ProtoReflect()
	f := pm.Descriptor().Fields().ByName(protoreflect.Name(name))
	if f == nil {
		return nil, noField(pm.Descriptor(), name)
	}
	return starlark.Bool(pm.Has(f)), nil
})

// outgoing is a message that a script sends.
type outgoing struct{ m *starproto.Message }

// Unpack implements starlark.Unpacker.
func (o *outgoing) Unpack(v starlark.Value) error {
	m, ok := v.(*starproto.Message)
	if !ok {
		if t, isType := v.(messageType); isType {
			return fmt.Errorf("got the type %s, want a message: %s(…)", t.Name(), t.Name())
		}
		return fmt.Errorf("got %s, want a message", v.Type())
	}
	o.m = m
	return sound(m.Message())
}

func (o *outgoing) message() proto.Message { return o.m.Message() }
