package room

import (
	"strings"
	"testing"
	"time"
)

// TestWhoKeepsARoom: the node that sealed it at once, another one later, and one that cannot says why not.
func TestWhoKeepsARoom(t *testing.T) {
	spec := func(k Keep) *Spec { return &Spec{Game: "arena", Keep: k} }
	end := &End{Phase: Sealed, Node: "a"}
	a, b := Bidder{Node: "a", Capacity: 10, Used: 9}, Bidder{Node: "b", Capacity: 10}
	now, why := a.Keeps(&Room{ID: "r", Spec: spec(KeepArchive), End: end}, true)
	later, whyB := b.Keeps(&Room{ID: "r", Spec: spec(KeepArchive), End: end}, true)
	if why != "" || whyB != "" || now != 0 || later < keepDelay || later > keepDelay+loadDelay+tieDelay {
		t.Errorf("a after %v %s, b after %v %s", now, why, later, whyB)
	}
	if after, why := b.Keeps(&Room{Spec: spec(KeepNone), End: &End{Phase: Archived}}, false); why != "" || after == 0 {
		t.Errorf("what needs no archive waits for one: %v, %s", after, why)
	}
	if after, why := a.Keeps(&Room{ID: "r", Spec: spec(KeepArchive), End: end, Keeper: "a"}, true); why != "" || after < keepDelay {
		t.Errorf("a claim that could not be given back keeps the room from its own node: after %v, %s", after, why)
	}
	if after, why := a.Keeps(&Room{ID: "r", Spec: spec(""), End: &End{Phase: Sealed, Node: "a", Remove: true}}, false); why != "" || after != 0 {
		t.Errorf("a log that somebody wants removed stays: after %v, %s", after, why)
	}
	if _, why := b.Keeps(&Room{Spec: spec(KeepArchive), End: &End{Phase: Sealed, Remove: true}}, false); why != "" {
		t.Errorf("what needs no archive any longer waits for one: %s", why)
	}
	if after, why := b.Keeps(&Room{Spec: spec(KeepArchive), End: &End{Phase: Gone}}, true); why != "" || after == 0 {
		t.Errorf("nobody sweeps up what the keeper of a room that is gone has left: %v, %s", after, why)
	}
	if _, why := b.Keeps(&Room{Spec: spec(KeepArchive), End: &End{Phase: Gone, Remove: true}}, false); !strings.Contains(why, "no place for archives") {
		t.Errorf("a node without archives sweeps: %s", why)
	}
	if _, why := b.Keeps(&Room{Spec: spec(KeepNone), End: &End{Phase: Gone}}, true); !strings.Contains(why, "is gone") {
		t.Errorf("of a room that has no archive others are swept up: %s", why)
	}
	for want, r := range map[string]*Room{
		"has not ended":         {Spec: spec(KeepArchive)},
		"is gone":               {Spec: spec(KeepArchive), End: &End{Phase: Gone, Swept: true}},
		"its log is kept":       {Spec: spec(""), End: end},
		"node c keeps it":       {Spec: spec(KeepNone), End: end, Keeper: "c"},
		"no place for archives": {Spec: spec(KeepArchive), End: end},
	} {
		if _, why := b.Keeps(r, false); !strings.Contains(why, want) {
			t.Errorf("%q, want %q", why, want)
		}
	}
	idle := Bidder{Node: "c"}
	if _, why := idle.Keeps(&Room{Spec: spec(KeepArchive), End: end}, true); !strings.Contains(why, "hosts no rooms") {
		t.Error(why)
	}
	if bad := (&Spec{Game: "arena", Keep: "all"}).Validate(); bad == nil || !strings.Contains(bad.Error(), "want log, archive or none") {
		t.Error(bad)
	}
	gone := time.Unix(1000, 0)
	if at, ok := (&Room{End: &End{Phase: Gone, Gone: gone}}).Expires(time.Hour); !ok || !at.Equal(gone.Add(time.Hour)) {
		t.Error(at, ok)
	}
	if _, ok := (&Room{End: end}).Expires(time.Hour); ok {
		t.Error("a sealed room expires")
	}
}

// TestWhoseLogMayBeRemoved: that of a room that has ended, and not before the archive that it asked for, unless that is said.
func TestWhoseLogMayBeRemoved(t *testing.T) {
	log, archive := &Spec{Game: "arena"}, &Spec{Game: "arena", Keep: KeepArchive}
	for _, c := range []struct {
		room       Room
		unarchived bool
		want       string
	}{
		{Room{Spec: log, End: &End{Phase: Sealed}}, false, ""},
		{Room{Spec: log, End: &End{Phase: Gone}}, false, ""},
		{Room{Spec: archive, End: &End{Phase: Archived}}, false, ""},
		{Room{Spec: archive, End: &End{Phase: Sealed}}, true, ""},
		{Room{Spec: archive, End: &End{Phase: Sealed, Remove: true}}, false, ""},
		{Room{Spec: archive, End: &End{Phase: Sealed}}, false, "asked for an archive, and none is proven yet"},
		{Room{Spec: log, Owner: "a"}, true, "room r-1 runs on node a: close it first (wind room close r-1)"},
		{Room{Spec: log}, true, "no node runs it now: close it first (wind room close r-1)"},
		{Room{Owner: "a"}, true, "is a standing shard"},
	} {
		c.room.ID = "r-1"
		if err := c.room.Removable(c.unarchived); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.room, err, c.want)
		}
	}
}
