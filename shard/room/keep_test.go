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
	for want, r := range map[string]*Room{
		"has not ended":         {Spec: spec(KeepArchive)},
		"is gone":               {Spec: spec(KeepArchive), End: &End{Phase: Gone}},
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
