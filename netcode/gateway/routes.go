package gateway

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ferris1/wind/netcode/rpc"
)

// Routes implements the half of a Directory that routes messages: a table of the methods that live instances have
// registered. Set and Drop update it when the directory changes. If several types handle a message, the first by name
// gets it; Config.Routes overrides that. A type keeps its methods while one instance has them, and even after its last
// instance has gone: requests then wait for an instance, or fail if none comes. The zero value is empty. It may
// be used concurrently.
type Routes struct {
	mu      sync.Mutex
	methods map[string]map[string][]rpc.Method // by type and instance
	last    map[string][]rpc.Method            // of types whose last instance has gone
	table   atomic.Pointer[table]
}

type table struct {
	ids   map[uint32]Route
	names map[string]Route
}

// Set records the methods that an instance handles for clients.
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

// Drop removes an instance that is gone.
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

// Route implements Directory.
func (t *Routes) Route(id uint32) (Route, bool) {
	n := t.table.Load()
	if n == nil {
		return Route{}, false
	}
	r, ok := n.ids[id]
	return r, ok
}

// RouteName implements Directory.
func (t *Routes) RouteName(name string) (Route, bool) {
	n := t.table.Load()
	if n == nil {
		return Route{}, false
	}
	r, ok := n.names[name]
	return r, ok
}
