package discovery

import (
	"maps"
	"slices"
	"strings"
)

// publish makes the changes visible to lookups and calls the watchers.
func (d *Directory) publish() {
	if len(d.dirty) == 0 && len(d.pending) == 0 {
		return
	}
	d.mu.Lock()
	next := &view{types: maps.Clone(d.view.Load().types)}
	if next.types == nil {
		next.types = map[string]*typeView{}
	}
	for t := range d.dirty {
		if v := d.viewOf(t); v != nil {
			next.types[t] = v
		} else {
			delete(next.types, t)
		}
	}
	next.names = slices.Sorted(maps.Keys(next.types))
	d.view.Store(next)
	var told []func(Change)
	for _, n := range slices.Sorted(maps.Keys(d.watchers)) {
		told = append(told, d.watchers[n])
	}
	d.mu.Unlock()
	for _, c := range d.pending {
		for _, f := range told {
			f(c)
		}
	}
	clear(d.dirty)
	d.pending = nil
}

// viewOf returns the view of a type, or nil if it has no instance. The caller holds the lock.
func (d *Directory) viewOf(serviceType string) *typeView {
	prefix := serviceType + "/"
	t := &typeView{}
	var keys []string
	for key := range d.known {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		r := d.known[key]
		t.instances = append(t.instances, r.instance)
		t.picky = t.picky || len(r.instance.Formats) > 0
		if r.instance.open() {
			t.seats = append(t.seats, newSeat(r))
		}
	}
	if len(t.instances) == 0 {
		return nil
	}
	t.answering = answering(t.instances)
	t.selector = d.selector(serviceType, t.instances)
	return t
}

// answering returns the ids of the instances that neither drain nor hang or, failing that, of those that drain.
func answering(all []Instance) (ids []string) {
	for _, drained := range []bool{false, true} {
		for i := range all {
			if x := &all[i]; x.Answers() || drained && x.Hung == "" {
				ids = append(ids, x.ID)
			}
		}
		if len(ids) > 0 {
			break
		}
	}
	return ids
}

// selector returns the selector set for the type, or else the one that the most recently registered instance names. The
// caller holds the lock.
func (d *Directory) selector(serviceType string, all []Instance) Selector {
	if s := d.chosen[serviceType]; s != nil {
		return s
	}
	newest := -1
	for i := range all {
		if all[i].Selector != "" && (newest < 0 || all[i].Since.After(all[newest].Since)) {
			newest = i
		}
	}
	if newest < 0 {
		return Least
	}
	s, err := ParseSelector(all[newest].Selector)
	if err != nil {
		return Least // cannot happen: set refuses such an instance
	}
	return s
}
