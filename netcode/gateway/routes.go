package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// Routes implements the half of a Directory that routes messages: a table of the methods that live instances have
// registered. Set and Drop update it when the directory changes. A message belongs to one type of service; Config.Routes
// overrides that. If several types handle a message or use its id, the type that registered first gets it, and Conflicts
// names them. A type keeps its methods while one instance has them, and even after its last instance has gone, unless
// another type handles them: requests then wait for an instance, or fail if none comes. The zero value is empty. It may be used concurrently.
type Routes struct {
	mu    sync.Mutex
	types map[string]*registered // by type of service
	table atomic.Pointer[table]
}

// registered is what the instances of a type have registered.
type registered struct {
	since   time.Time // of the first instance
	methods map[string][]rpc.Method
	last    []rpc.Method // of the last instance, once it has gone
}

type table struct {
	ids       map[uint32]Route
	names     map[string]Route
	conflicts []Conflict
}

// Conflict is a message that two types of service handle, or an id that they use for two messages.
type Conflict struct {
	Route Route // gets the requests
	Other Route // does not
}

// String says who is in conflict, and who gets the requests.
func (c Conflict) String() string {
	if c.Route.Method.Name == c.Other.Method.Name {
		return fmt.Sprintf("services %s and %s both handle %s, and %s gets the requests", c.Route.Type, c.Other.Type, c.Route.Method.Name, c.Route.Type)
	}
	return fmt.Sprintf("%s of service %s and %s of service %s both have the id %d, and %s gets the requests",
		c.Route.Method.Name, c.Route.Type, c.Other.Method.Name, c.Other.Type, c.Route.Method.ID, c.Route.Type)
}

// Set records the methods that an instance, registered since then, handles for clients.
func (t *Routes) Set(serviceType, instance string, since time.Time, methods []rpc.Method) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.types == nil {
		t.types = map[string]*registered{}
	}
	of := t.types[serviceType]
	if of == nil {
		of = &registered{since: since, methods: map[string][]rpc.Method{}}
		t.types[serviceType] = of
	}
	if old, ok := of.methods[instance]; ok && slices.Equal(old, methods) {
		return
	}
	if since.Before(of.since) {
		of.since = since
	}
	of.methods[instance], of.last = slices.Clone(methods), nil
	t.build()
}

// Drop removes an instance that is gone.
func (t *Routes) Drop(serviceType, instance string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.types[serviceType]
	if of == nil {
		return
	}
	methods, ok := of.methods[instance]
	if !ok {
		return
	}
	if delete(of.methods, instance); len(of.methods) == 0 {
		of.last = methods
	}
	t.build()
}

// build makes the table: first the methods of living instances, from the type that came first, then those of types whose
// instances have gone.
func (t *Routes) build() {
	var live, gone []Route
	for _, serviceType := range slices.SortedFunc(maps.Keys(t.types), func(a, b string) int {
		return cmp.Or(t.types[a].since.Compare(t.types[b].since), cmp.Compare(a, b))
	}) {
		of := t.types[serviceType]
		for _, instance := range slices.Sorted(maps.Keys(of.methods)) {
			for _, m := range of.methods[instance] {
				live = append(live, Route{serviceType, m})
			}
		}
		for _, m := range of.last {
			gone = append(gone, Route{serviceType, m})
		}
	}
	n := &table{ids: map[uint32]Route{}, names: map[string]Route{}}
	for _, r := range live {
		if holder, free := n.add(r); !free {
			n.conflicts = append(n.conflicts, Conflict{holder, r})
		}
	}
	for _, r := range gone {
		n.add(r)
	}
	slices.SortFunc(n.conflicts, func(a, b Conflict) int { return cmp.Compare(a.String(), b.String()) })
	n.conflicts = slices.Compact(n.conflicts)
	t.table.Store(n)
}

// add adds a route unless another type has its name or its id. It returns what that type has.
func (n *table) add(r Route) (holder Route, free bool) {
	free = true
	if other, taken := n.names[r.Method.Name]; !taken {
		n.names[r.Method.Name] = r
	} else if other.Type != r.Type {
		holder, free = other, false
	}
	if r.Method.ID == 0 {
		return holder, free
	}
	if other, taken := n.ids[r.Method.ID]; !taken {
		n.ids[r.Method.ID] = r
	} else if other.Type != r.Type && free {
		holder, free = other, false
	}
	return holder, free
}

// Conflicts returns the conflicts between the types that have an instance.
func (t *Routes) Conflicts() []Conflict {
	if n := t.table.Load(); n != nil {
		return n.conflicts
	}
	return nil
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
