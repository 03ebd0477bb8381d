package gateway

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ferris1/wind/netcode/rpc"
)

// Routes is the half of a Directory that finds messages: a table of what the
// instances that live have registered. Set and Drop feed it from the directory's
// changes. A message that several types take goes to the first of them by name;
// Config.Routes says otherwise. A type's methods stay while one instance has
// them, and after its last instance has gone: then requests wait for one, or are
// told that there is none. The zero value is empty. It may be used concurrently.
type Routes struct {
	mu      sync.Mutex
	methods map[string]map[string][]rpc.Method // by type and instance
	last    map[string][]rpc.Method            // of a type whose instances have all gone
	table   atomic.Pointer[table]
}

type table struct {
	ids   map[uint32]Route
	names map[string]Route
}

// Set says what an instance handles for clients.
func (t *Routes) Set(serviceType, instance string, methods []rpc.Method) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.methods == nil {
		t.methods, t.last = map[string]map[string][]rpc.Method{}, map[string][]rpc.Method{}
	}
	of := t.methods[serviceType]
	if of == nil {
		of = map[string][]rpc.Method{}
		t.methods[serviceType] = of
	}
	if old, ok := of[instance]; ok && slices.Equal(old, methods) {
		return
	}
	of[instance] = slices.Clone(methods)
	delete(t.last, serviceType)
	t.build()
}

// Drop says that an instance is gone.
func (t *Routes) Drop(serviceType, instance string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.methods[serviceType]
	methods, ok := of[instance]
	if !ok {
		return
	}
	if delete(of, instance); len(of) == 0 {
		delete(t.methods, serviceType)
		t.last[serviceType] = methods
	}
	t.build()
}

func (t *Routes) build() {
	n := &table{map[uint32]Route{}, map[string]Route{}}
	types := slices.Sorted(maps.Keys(t.methods))
	for _, serviceType := range types {
		of := t.methods[serviceType]
		for _, instance := range slices.Sorted(maps.Keys(of)) {
			n.add(serviceType, of[instance])
		}
	}
	for _, serviceType := range slices.Sorted(maps.Keys(t.last)) {
		n.add(serviceType, t.last[serviceType])
	}
	t.table.Store(n)
}

func (n *table) add(serviceType string, methods []rpc.Method) {
	for _, m := range methods {
		r := Route{serviceType, m}
		if _, taken := n.names[m.Name]; !taken {
			n.names[m.Name] = r
		}
		if _, taken := n.ids[m.ID]; !taken && m.ID != 0 {
			n.ids[m.ID] = r
		}
	}
}

// Route is Directory.Route.
func (t *Routes) Route(id uint32) (Route, bool) {
	n := t.table.Load()
	if n == nil {
		return Route{}, false
	}
	r, ok := n.ids[id]
	return r, ok
}

// RouteName is Directory.RouteName.
func (t *Routes) RouteName(name string) (Route, bool) {
	n := t.table.Load()
	if n == nil {
		return Route{}, false
	}
	r, ok := n.names[name]
	return r, ok
}
