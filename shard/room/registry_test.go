package room

import (
	"context"
	"fmt"
	"testing"

	"github.com/ferris1/wind/shard/discovery"
)

// leaseEnds is a source with rooms of one node, whose lease ends: one revision takes the owner from all of them.
type leaseEnds struct{ rooms int }

func (leaseEnds) String() string { return "rooms of a node that dies" }

func (s leaseEnds) List(context.Context) (all []discovery.Entry, revision int64, err error) {
	for i := range s.rooms {
		id := fmt.Sprintf("r-%02d", i)
		all = append(all, discovery.Entry{Key: id + "/spec", Value: []byte(`{"game":"arena"}`), Revision: 3}, discovery.Entry{Key: id + "/owner", Value: []byte(`{"node":"anna"}`), Revision: 5})
	}
	return append(all, discovery.Entry{Key: "main/owner", Value: []byte(`{"node":"anna"}`), Revision: 6}), 6, nil
}

func (s leaseEnds) Watch(ctx context.Context, _ int64, f func(discovery.Changes)) error {
	c := discovery.Changes{Revision: 7}
	for i := range s.rooms {
		c.Entries = append(c.Entries, discovery.Entry{Key: fmt.Sprintf("r-%02d/owner", i), Gone: true, Revision: 7})
	}
	f(c)
	<-ctx.Done()
	return ctx.Err()
}

func (leaseEnds) Revision(context.Context) (int64, error) { return 7, nil }

// TestARevisionIsSeenWhole: who reads the changes up to a revision, and goes on from there, misses none of those that the revision
// made at once.
func TestARevisionIsSeenWhole(t *testing.T) {
	const rooms = 20
	began, seen := make(chan *Registry, 1), make(chan string, rooms)
	var within *Registry
	heard := 0
	r, err := Follow(t.Context(), leaseEnds{rooms}, func(_ *Room, id string) {
		if heard++; heard <= rooms+1 {
			return // the first reading
		}
		if within == nil {
			within = <-began
		}
		if changed, revision := within.Changes(6); revision >= 7 && len(changed) < rooms {
			seen <- fmt.Sprintf("at %s: revision %d with %d rooms of %d", id, revision, len(changed), rooms)
		}
		if heard == 2*rooms+1 {
			close(seen)
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	began <- r
	for text := range seen {
		t.Error(text)
	}
	if all, _ := r.Changes(-1); len(all) != rooms {
		t.Errorf("%d rooms and a standing shard are listed as %d", rooms, len(all))
	}
}

// TestANewNodeTellsOfRoomsThatHaveLostTheirOwner: the loss leaves no entry, and so no revision. Whoever watches, and asks a node that
// has just begun, would never hear of it.
func TestANewNodeTellsOfRoomsThatHaveLostTheirOwner(t *testing.T) {
	v := NewView()
	v.Apply(discovery.Entry{Key: "r-free/spec", Value: []byte(`{"game":"arena"}`), Revision: 3})
	v.Apply(discovery.Entry{Key: "r-owned/spec", Value: []byte(`{"game":"arena"}`), Revision: 3})
	v.Apply(discovery.Entry{Key: "r-owned/owner", Value: []byte(`{"node":"anna"}`), Revision: 4})
	v.since(NewView(), 6)
	if free, owned := v.Room("r-free").Revision, v.Room("r-owned").Revision; free != 6 || owned != 4 {
		t.Errorf("the room without an owner has changed at %d, the other at %d", free, owned)
	}
}
