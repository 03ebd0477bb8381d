package service

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
)

var (
	ctxType   = reflect.TypeFor[*Ctx]()
	errorType = reflect.TypeFor[error]()
	protoType = reflect.TypeFor[proto.Message]()
)

// bind finds the handlers among the methods of values: those whose first parameter is a *Ctx, and those named after a
// message.
func (k messages) bind(values []any) (map[string]*entry, error) {
	found := map[string]*entry{}
	for _, value := range values {
		v := reflect.ValueOf(value)
		if !v.IsValid() {
			return nil, fmt.Errorf("service: a value with handlers is nil")
		}
		before := len(found)
		for i := range v.NumMethod() {
			method := v.Type().Method(i)
			place := fmt.Sprintf("%s.%s", v.Type(), method.Name)
			if !k.looksLikeHandler(method.Name, v.Method(i).Type()) {
				continue
			}
			e, err := k.goHandler(method.Name, v.Method(i))
			if err != nil {
				return nil, fmt.Errorf("service: %s: %w", place, err)
			}
			if other := found[method.Name]; other != nil {
				return nil, fmt.Errorf("service: %s: %s already handles %s", place, other.place, method.Name)
			}
			e.place = place
			found[method.Name] = e
		}
		if err := k.complete(v.Type(), len(found)-before); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (k messages) looksLikeHandler(name string, t reflect.Type) bool {
	return k[name] != nil || t.NumIn() > 0 && t.In(0) == ctxType
}

// complete refuses a type without handlers, and a non-pointer type that lacks handlers of its pointer type.
func (k messages) complete(t reflect.Type, handlers int) error {
	if t.Kind() != reflect.Pointer {
		p := reflect.PointerTo(t)
		for i := range p.NumMethod() {
			name := p.Method(i).Name
			if _, has := t.MethodByName(name); !has && k.looksLikeHandler(name, reflect.Zero(p).Method(i).Type()) {
				return fmt.Errorf("service: %s.%s has a pointer receiver: give a pointer to a %s", t, name, t)
			}
		}
	}
	if handlers == 0 {
		return fmt.Errorf("service: %s has no handlers: they are methods like func (h %s) XRequest(ctx *service.Ctx, r *pb.XRequest) (*pb.XResponse, error)", t, t)
	}
	return nil
}

// goHandler makes the entry of a method. It uses reflection here, so that a request costs only one reflective call.
func (k messages) goHandler(name string, fn reflect.Value) (*entry, error) {
	m, err := k.find(name)
	if err != nil {
		return nil, err
	}
	t := fn.Type()
	if t.NumIn() != 2 || t.IsVariadic() || t.In(0) != ctxType || !t.In(1).Implements(protoType) || t.NumOut() < 1 || t.NumOut() > 2 ||
		t.Out(t.NumOut()-1) != errorType || t.NumOut() == 2 && !t.Out(0).Implements(protoType) {
		return nil, fmt.Errorf("it is a %s, want func(*service.Ctx, *%s) (*Response, error), or just the error", t, name)
	}
	if got := reflect.TypeOf(m.typ.New().Interface()); got != t.In(1) {
		return nil, fmt.Errorf("it takes a %s, but the message %s is a %s", t.In(1), name, got)
	}
	answers := t.NumOut() == 2
	if answers && t.Out(0).Kind() == reflect.Pointer {
		if err := k.answers(m, rpc.ShortName(reflect.Zero(t.Out(0)).Interface().(proto.Message))); err != nil {
			return nil, err
		}
	}
	run := func(c *Ctx, r *rpc.Request) (proto.Message, error) {
		in, bad := m.decode(r.Format, r.Payload)
		if bad != nil {
			return nil, bad
		}
		c.begin()
		out := fn.Call([]reflect.Value{reflect.ValueOf(c), reflect.ValueOf(in)})
		if err := errorIn(out[len(out)-1]); err != nil {
			return nil, err
		}
		if !answers || out[0].IsNil() {
			return nil, nil
		}
		answer := out[0].Interface().(proto.Message)
		return answer, k.answers(m, rpc.ShortName(answer))
	}
	return &entry{message: m, run: run}, nil
}

// errorIn returns the error that a handler has returned. A nil *rpc.Error counts as no error, as the handler's author
// meant.
func errorIn(v reflect.Value) error {
	if v.IsNil() {
		return nil
	}
	err := v.Interface().(error)
	if e, ok := err.(*rpc.Error); ok && e == nil {
		return nil
	}
	return err
}
