package service

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	starjson "go.starlark.net/lib/json"
	starproto "go.starlark.net/lib/proto"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Limits of JSON in scripts. They make reading end, whatever a handler is sent.
const (
	maxJSONDepth  = 100     // nesting of lists and objects
	maxJSON       = 4 << 20 // bytes written
	maxJSONDigits = 2400    // of a number: the longest integer in a script
)

// jsonCost is the cost of a byte of JSON, in bytes of text.
const jsonCost = 4

// jsonModule is json: encode(x), encode_indent(x), decode(text, default=…, message=…). Unlike Starlark's own, it bounds
// depth and size, and knows messages.
var jsonModule = &starlarkstruct.Module{Name: "json", Members: starlark.StringDict{
	"encode":        starlark.NewBuiltin("json.encode", jsonEncode),
	"encode_indent": starlark.NewBuiltin("json.encode_indent", jsonEncodeIndent),
	"decode":        starlark.NewBuiltin("json.decode", jsonDecode),
}}

func jsonEncode(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &x); err != nil {
		return nil, err
	}
	out, err := encodeJSON(x)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(out), script.Spend(t, jsonCost*len(out))
}

func jsonEncodeIndent(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	prefix, indent := "", "  "
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "prefix?", &prefix, "indent?", &indent); err != nil {
		return nil, err
	}
	if len(prefix)+len(indent) > 16 {
		return nil, fmt.Errorf("%s: prefix and indent together have more than 16 bytes", b.Name())
	}
	out, err := encodeJSON(x)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, out, prefix, indent); err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return starlark.String(buf.String()), script.Spend(t, jsonCost*buf.Len())
}

func jsonDecode(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	var otherwise starlark.Value
	var as messageType
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &text, "default?", &otherwise, "message?", &as); err != nil {
		return nil, err
	}
	if err := script.Spend(t, jsonCost*len(text)); err != nil {
		return nil, err
	}
	v, err := decodeValue(as, []byte(text))
	if err != nil && otherwise != nil {
		return otherwise, nil
	}
	return v, err
}

// encodeJSON encodes v as JSON: dicts with string keys, anything iterable, and messages as protojson does.
func encodeJSON(v starlark.Value) ([]byte, error) {
	e := jsonEncoder{}
	if err := e.value(v, 0); err != nil {
		return nil, err
	}
	return e.out.Bytes(), nil
}

type jsonEncoder struct{ out bytes.Buffer }

func (e *jsonEncoder) value(v starlark.Value, depth int) error {
	switch {
	case depth > maxJSONDepth:
		return fmt.Errorf("lists and dicts nested more than %d deep", maxJSONDepth)
	case e.out.Len() > maxJSON:
		return fmt.Errorf("more than %d bytes of JSON", maxJSON)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		e.out.WriteString("null")
	case starlark.Bool:
		fmt.Fprint(&e.out, bool(v))
	case starlark.Int:
		e.out.WriteString(v.String())
	case starlark.Float:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%s is not a number in JSON", v)
		}
		e.out.WriteString(v.String())
	case starlark.String:
		return e.text(string(v))
	case starlark.Bytes: // as in a message
		return e.text(base64.StdEncoding.EncodeToString([]byte(v)))
	case starproto.EnumValueDescriptor:
		return e.text(string(v.Desc.Name()))
	case *starproto.Message:
		if err := sound(v.Message()); err != nil {
			return err
		}
		b, err := rpc.Encode(rpc.JSON, v.Message())
		e.out.Write(b)
		return err
	case starlark.IterableMapping:
		return e.object(v, depth)
	case starlark.Iterable:
		return e.list(v, depth)
	default:
		return fmt.Errorf("a %s has no JSON form", v.Type())
	}
	return nil
}

func (e *jsonEncoder) text(s string) error {
	b, err := json.Marshal(s)
	e.out.Write(b)
	return err
}

func (e *jsonEncoder) object(v starlark.IterableMapping, depth int) error {
	items := v.Items()
	for _, kv := range items {
		if _, ok := kv[0].(starlark.String); !ok {
			return fmt.Errorf("the key %s is a %s: JSON keys are strings", script.Brief(kv[0]), kv[0].Type())
		}
	}
	slices.SortFunc(items, func(a, b starlark.Tuple) int {
		return bytes.Compare([]byte(a[0].(starlark.String)), []byte(b[0].(starlark.String)))
	})
	e.out.WriteByte('{')
	for i, kv := range items {
		if i > 0 {
			e.out.WriteByte(',')
		}
		if err := e.text(string(kv[0].(starlark.String))); err != nil {
			return err
		}
		e.out.WriteByte(':')
		if err := e.value(kv[1], depth+1); err != nil {
			return err
		}
	}
	e.out.WriteByte('}')
	return nil
}

func (e *jsonEncoder) list(v starlark.Iterable, depth int) error {
	e.out.WriteByte('[')
	n := 0
	for x := range starlark.Elements(v) {
		if n++; n > 1 {
			e.out.WriteByte(',')
		}
		if err := e.value(x, depth+1); err != nil {
			return err
		}
	}
	e.out.WriteByte(']')
	return nil
}

// decodeValue decodes JSON as the named message, or without one as decodeJSON does.
func decodeValue(as messageType, b []byte) (starlark.Value, error) {
	if as.desc != nil {
		return decodeAs(as, b)
	}
	return decodeJSON(b)
}

// decodeJSON decodes JSON to Starlark's own types.
func decodeJSON(b []byte) (starlark.Value, error) {
	if !json.Valid(b) {
		return nil, errors.New("it is not JSON")
	}
	depth, digits := jsonDepth(b)
	switch {
	case depth > maxJSONDepth:
		return nil, fmt.Errorf("it has lists and objects nested more than %d deep", maxJSONDepth)
	case digits > maxJSONDigits:
		return nil, fmt.Errorf("it has a number with more than %d digits", maxJSONDigits)
	}
	return starlark.Call(&starlark.Thread{}, starjson.Module.Members["decode"], starlark.Tuple{starlark.String(b)}, nil)
}

// jsonDepth returns how deeply valid JSON nests lists and objects, and the length of its longest run of digits.
func jsonDepth(b []byte) (most, digits int) {
	depth, row, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		if c := b[i]; quoted || c < '0' || c > '9' {
			row = 0
		} else {
			row++
			digits = max(digits, row)
		}
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			most = max(most, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return most, digits
}
