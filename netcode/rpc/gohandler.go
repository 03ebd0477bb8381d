package rpc

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
)

var (
	ctxType   = reflect.TypeFor[*Ctx]()
	errorType = reflect.TypeFor[error]()
	protoType = reflect.TypeFor[proto.Message]()
)

// bind finds the handlers among the methods of values: those that take a *Ctx
// first.
func (k messages) bind(values []any) (map[string]*entry, error) {
	found := map[string]*entry{}
	for _, value := range values {
		v := reflect.ValueOf(value)
		for i := range v.NumMethod() {
			method := v.Type().Method(i)
			place := fmt.Sprintf("%s.%s", v.Type(), method.Name)
			t := v.Method(i).Type()
			if t.NumIn() == 0 || t.In(0) != ctxType {
				continue
			}
			e, err := k.goHandler(method.Name, v.Method(i))
			if err != nil {
				return nil, fmt.Errorf("rpc: %s: %w", place, err)
			}
			if other := found[method.Name]; other != nil {
				return nil, fmt.Errorf("rpc: %s: %s handles %s already", place, other.place, method.Name)
			}
			e.place = place
			found[method.Name] = e
		}
	}
	return found, nil
}

// goHandler makes the entry of a method. What reflection costs is paid here, and
// one call through it per request.
func (k messages) goHandler(name string, fn reflect.Value) (*entry, error) {
	t := fn.Type()
	if t.NumIn() != 2 || t.IsVariadic() || !t.In(1).Implements(protoType) || t.NumOut() < 1 || t.NumOut() > 2 ||
		t.Out(t.NumOut()-1) != errorType || t.NumOut() == 2 && !t.Out(0).Implements(protoType) {
		return nil, fmt.Errorf("it is a %s, want func(*rpc.Ctx, *%s) (*Response, error) or the error alone", t, name)
	}
	m, err := k.find(name)
	if err != nil {
		return nil, err
	}
	if got := reflect.TypeOf(m.typ.New().Interface()); got != t.In(1) {
		return nil, fmt.Errorf("it takes a %s, the message %s is a %s", t.In(1), name, got)
	}
	answers := t.NumOut() == 2
	run := func(c *Ctx, r *Request) (proto.Message, error) {
		in, bad := m.decode(r.Format, r.Payload)
		if bad != nil {
			return nil, bad
		}
		out := fn.Call([]reflect.Value{reflect.ValueOf(c), reflect.ValueOf(in)})
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			return nil, err
		}
		if !answers || out[0].IsNil() {
			return nil, nil
		}
		return out[0].Interface().(proto.Message), nil
	}
	return &entry{message: m, run: run}, nil
}
