package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
)

// record is the goroutine's state of one instance.
type record struct {
	instance Instance
	revision int64
	lease    int64
	hash     uint64
	placed   *placed
}

// list reads all entries, and removes the instances that have none.
func (d *Directory) list(ctx context.Context) error {
	entries, revision, err := d.source.List(ctx)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Key] = true
		d.set(e)
	}
	for key := range d.known {
		if !there[key] {
			d.remove(key)
		}
	}
	d.revision = revision
	return nil
}

// take applies the changes of a watch.
func (d *Directory) take(c Changes) {
	for _, e := range c.Entries {
		if e.Gone {
			d.remove(e.Key)
		} else {
			d.set(e)
		}
	}
	d.revision = max(d.revision, c.Revision)
}

// set applies an entry.
func (d *Directory) set(e Entry) {
	old := d.known[e.Key]
	if old != nil && old.revision == e.Revision && old.lease == e.Lease {
		return // compare the lease too: an etcd that lost its data counts from 1 again
	}
	i, err := parse(e)
	if err != nil {
		if d.refused[e.Key] != e.Revision {
			d.refused[e.Key] = e.Revision
			d.log.Warn("cannot read an entry of the directory; its previous state stays valid", "directory", d.source, "key", e.Key, "error", err)
		}
		if old != nil {
			old.revision, old.lease = e.Revision, e.Lease
		}
		return
	}
	delete(d.refused, e.Key)
	kind := Changed
	if old == nil {
		kind, old = Joined, &record{placed: &placed{}, hash: hashText(i.ID)}
		d.known[e.Key] = old
	} else {
		old.placed.rotate() // a report
	}
	old.instance, old.revision, old.lease = i, e.Revision, e.Lease
	d.dirty[i.Type] = true
	d.pending = append(d.pending, Change{kind, i})
}

// remove removes an entry's instance.
func (d *Directory) remove(key string) {
	delete(d.refused, key)
	if old := d.known[key]; old != nil {
		delete(d.known, key)
		d.dirty[old.instance.Type] = true
		d.pending = append(d.pending, Change{Left, old.instance})
	}
}

// parse decodes an entry, which anybody may have written. Type and id come from its key, not its value.
func parse(e Entry) (Instance, error) {
	var i Instance
	if err := json.Unmarshal(e.Value, &i); err != nil {
		return i, err
	}
	var ok bool
	if i.Type, i.ID, ok = strings.Cut(e.Key, "/"); !ok {
		return i, errors.New("the key is not <type>/<id>")
	}
	since := i.Since
	i.Complete("")
	i.Since = since
	return i, i.Validate()
}
