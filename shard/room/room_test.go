package room

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/shard/discovery"
)

func TestOneKeyMakesOneRoom(t *testing.T) {
	made := map[string]bool{}
	for _, cluster := range []string{"dev", "prod", "dev"} {
		for _, key := range []string{"match-7", "match-8", ""} {
			made[ID(cluster, key)] = true
		}
	}
	if len(made) != 4+3 { // two keys in two clusters, and three rooms without one
		t.Errorf("ids do not follow their keys: %v", made)
	}
	for range 100 {
		if id := ID("dev", ""); len(id) > 40 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q is not a valid shard name", id)
		}
	}
}

func TestASpecIsRefusedByWhatIsWrongWithIt(t *testing.T) {
	good := Spec{Game: "arena", Options: []byte(`{"monsters":3}`), Labels: map[string]string{"region": "eu"}, Idle: Duration(time.Minute)}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Spec){
		"the room's game":                         func(s *Spec) { s.Game = "The Arena" },
		"are not a JSON object":                   func(s *Spec) { s.Options = []byte(`[1]`) },
		`options "null" are not a JSON object`:    func(s *Spec) { s.Options = []byte(`null`) },
		"not negative":                            func(s *Spec) { s.Limit = -1 },
		"limit 20000h0m0s are at most 8760h0m0s":  func(s *Spec) { s.Limit = Duration(20_000 * time.Hour) },
		"the room's key has 200 bytes":            func(s *Spec) { s.Key = strings.Repeat("x", 200) },
		`the label's name "a b"`:                  func(s *Spec) { s.Labels = map[string]string{"a b": "c"} },
		`the label a has the value "b=c"`:         func(s *Spec) { s.Labels = map[string]string{"a": "b=c"} },
		"the room's standbys are 3: want 0 to 2":  func(s *Spec) { s.Standbys = 3 },
		"the room's standbys are -1: want":        func(s *Spec) { s.Standbys = -1 },
		"the room's options have 20000 bytes, at": func(s *Spec) { s.Options = make([]byte, 20000) },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestASpecReadsLikeWhatAPersonWrites(t *testing.T) {
	s := Spec{Game: "arena", Idle: Duration(90 * time.Second), At: time.Unix(1000, 0).UTC()}
	b, err := json.Marshal(s)
	if want := `{"game":"arena","idle":"1m30s","at":"1970-01-01T00:16:40Z"}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	var again Spec
	if err := json.Unmarshal(b, &again); err != nil || !again.Same(&s) {
		t.Errorf("%+v, %v", again, err)
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"monsters": 3}`, `{"monsters":3}`, true},
		{`{"monsters":3}`, ``, false},
		{`{}`, ``, true},
		{`{"monsters":3,"walls":4}`, `{"walls":4,"monsters":3}`, true},
		{`{"monsters":3,"walls":4}`, `{"walls":3,"monsters":4}`, false},
		{`{"seed":9007199254740993}`, `{"seed":9007199254740992}`, false},
		{`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`, true},
	} {
		other, again := s, s
		other.Options, again.Options = []byte(c.a), []byte(c.b)
		if other.Same(&again) != c.same || again.Same(&other) != c.same {
			t.Errorf("%s and %s ask for the same room: %v, want %v", c.a, c.b, other.Same(&again), c.same)
		}
	}
}

// story applies entries to a view and tells the room's phase after each.
func TestTheViewFollowsARoomsLife(t *testing.T) {
	v := NewView()
	entry := func(key, value string) discovery.Entry {
		return discovery.Entry{Key: key, Value: []byte(value), Gone: value == ""}
	}
	for i, c := range []struct {
		key, value string
		changed    string
		want       string
	}{
		{"r-1/spec", `{"game":"arena"}`, "r-1", "wanted"},
		{"r-1/high", `{"seq":7}`, "", "wanted"},
		{"r-1/owner", `{"node":"a","since":"2026-01-01T00:00:00Z"}`, "r-1", "running on a"},
		{"r-1/epoch", `{"epoch":1}`, "r-1", "running on a, begun"},
		{"r-1/owner", "", "r-1", "wanted, begun"},
		{"r-1/epoch", "", "r-1", "wanted"},
		{"r-1/halted", `{"reason":"x"}`, "r-1", "wanted, halted"},
		{"r-1/halted", "", "r-1", "wanted"},
		{"r-1/owner", `{"node":"b"}`, "r-1", "running on b"},
		{"r-1/state", `{"phase":"sealed","tick":9,"reason":"result","result":{"red":3}}`, "r-1", "sealed on b"},
		{"r-1/owner", "", "r-1", "sealed"},
		{"r-1/keeper", `{"node":"b"}`, "r-1", "sealed, kept by b"},
		{"r-1/keeper", "", "r-1", "sealed"},
		{"r-1/spec", "", "r-1", "sealed"},
		{"r-1/state", "", "r-1", "gone"},
		{"r-1/halted", `{"reason":"x"}`, "r-1", "wanted, halted"}, // a listing has it before the spec
		{"r-1/spec", `{"game":"arena"}`, "r-1", "wanted, halted"},
		{"r-1/halted", "", "r-1", "wanted"},
		{"r-1/spec", "", "r-1", "gone"},
		{"r-1/epoch", `{"epoch":1}`, "", "gone"}, // likewise
		{"r-1/spec", `{"game":"arena"}`, "r-1", "wanted, begun"},
		{"r-1/epoch", "", "r-1", "wanted"},
		{"r-1/spec", "", "r-1", "gone"},
		{"main/owner", `{"node":"a"}`, "main", "gone"},
		{"damaged", "x", "", "gone"},
	} {
		if got := v.Apply(entry(c.key, c.value)); got != c.changed {
			t.Errorf("%d: %s changed %q, want %q", i, c.key, got, c.changed)
		}
		got := "gone"
		if r := v.Room("r-1"); r != nil {
			got = string(r.Phase())
			if r.Owner != "" {
				got += " on " + r.Owner
			}
			if r.Halted {
				got += ", halted"
			}
			if r.Begun {
				got += ", begun"
			}
			if r.Keeper != "" {
				got += ", kept by " + r.Keeper
			}
		}
		if got != c.want {
			t.Errorf("%d: after %s=%s the room is %s, want %s", i, c.key, c.value, got, c.want)
		}
	}
}

func TestTheEmptiestNodeBidsFirst(t *testing.T) {
	b := func(node string, used float64) *Bidder {
		return &Bidder{Node: node, Game: "arena", Capacity: 1000, Used: used, Labels: map[string]string{"region": "eu"}}
	}
	wanted := func(id string) *Room { return &Room{ID: id, Spec: &Spec{Game: "arena"}} }
	// However the ties fall, a node that is a tenth of its capacity emptier is first.
	for i := range 1000 {
		r := wanted(fmt.Sprint("r-", i))
		empty, _ := b("a", 300).Bid(r)
		full, _ := b("b", 410).Bid(r)
		if empty >= full {
			t.Fatalf("room %d: the emptier node bids after %v, the fuller one after %v", i, empty, full)
		}
	}
	// Equally full nodes share: they bid in a different order for each room.
	wins := map[string]int{}
	for i := range 3000 {
		r, first, least := wanted(fmt.Sprint("r-", i)), "", time.Hour
		for _, node := range []string{"a", "b", "c"} {
			if d, why := b(node, 0).Bid(r); why != "" {
				t.Fatal(why)
			} else if d < least {
				first, least = node, d
			}
		}
		wins[first]++
	}
	for _, node := range []string{"a", "b", "c"} {
		if wins[node] < 900 || wins[node] > 1100 {
			t.Errorf("of 3,000 rooms %v", wins)
		}
	}
}

func TestWhoDoesNotBidSaysWhy(t *testing.T) {
	spec := &Spec{Game: "arena", Labels: map[string]string{"region": "eu"}}
	for name, c := range map[string]struct {
		node Bidder
		room Room
		why  string
	}{
		"free":             {Bidder{Game: "arena", Capacity: 10, Labels: map[string]string{"region": "eu", "gpu": "no"}}, Room{Spec: spec}, ""},
		"other game":       {Bidder{Game: "chess", Capacity: 10}, Room{Spec: spec}, "runs the game chess"},
		"other region":     {Bidder{Game: "arena", Capacity: 10, Labels: map[string]string{"region": "us"}}, Room{Spec: spec}, "does not have the label region=eu"},
		"full":             {Bidder{Game: "arena", Capacity: 10, Used: 10, Next: 2, Labels: spec.Labels}, Room{Spec: spec}, "is full: its rooms take 10 of 10 ms per second, and one more counts 2"},
		"small, but empty": {Bidder{Game: "arena", Capacity: 1, Next: 2, Labels: spec.Labels}, Room{Spec: spec}, ""},
		"no capacity":      {Bidder{Game: "arena", Labels: spec.Labels}, Room{Spec: spec}, "hosts no rooms"},
		"owned":            {Bidder{Game: "arena", Capacity: 10, Labels: spec.Labels}, Room{Spec: spec, Owner: "b"}, "nobody wants it"},
		"sealed":           {Bidder{Game: "arena", Capacity: 10, Labels: spec.Labels}, Room{Spec: spec, End: &End{Phase: Sealed}}, "nobody wants it"},
		"halted":           {Bidder{Game: "arena", Capacity: 10, Labels: spec.Labels}, Room{Spec: spec, Halted: true}, "it is halted"},
		"never asked for":  {Bidder{Game: "arena", Capacity: 10}, Room{}, "nobody wants it"},
	} {
		if _, why := c.node.Bid(&c.room); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
	}
}

// TestThePhasesOfRoomsAreEven: no part of a period has many more rooms' ticks than another, whatever the ids look like.
func TestThePhasesOfRoomsAreEven(t *testing.T) {
	for name, id := range map[string]func(int) string{
		"made by a key":  func(i int) string { return ID("dev", fmt.Sprint("match-", i)) },
		"named in order": func(i int) string { return fmt.Sprint("r-", i) },
	} {
		var tenths [10]int
		for i := range 1000 {
			p := TickPhase(id(i))
			if p < 0 || p >= 1 || p != TickPhase(id(i)) {
				t.Fatalf("room %s has the phase %v, and then %v", id(i), p, TickPhase(id(i)))
			}
			tenths[int(p*10)]++
		}
		for _, n := range tenths {
			if n < 60 || n > 140 {
				t.Errorf("rooms %s: 1,000 phases fall into the tenths of a period as %v", name, tenths)
				break
			}
		}
	}
}

// TestARemovalThatNobodySawHasARevision: while a node could not follow the source, a room lost its owner. The entry is gone, and
// with it the revision of the change.
func TestARemovalThatNobodySawHasARevision(t *testing.T) {
	fill := func(entries ...discovery.Entry) *View {
		v := NewView()
		for _, e := range entries {
			v.Apply(e)
		}
		return v
	}
	spec := func(id string, revision int64) discovery.Entry {
		return discovery.Entry{Key: id + "/spec", Value: []byte(`{"game":"arena"}`), Revision: revision}
	}
	owner := discovery.Entry{Key: "r-1/owner", Value: []byte(`{"node":"a"}`), Revision: 50}
	halted := discovery.Entry{Key: "r-3/halted", Value: []byte(`{}`), Revision: 30}
	before := fill(spec("r-1", 40), owner, spec("r-2", 41), spec("r-3", 42), halted)
	after := fill(spec("r-1", 40), spec("r-2", 41), spec("r-3", 42), spec("r-4", 60))
	after.since(before, 70)
	for id, want := range map[string]int64{"r-1": 70, "r-2": 41, "r-3": 70, "r-4": 70} { // r-4 may have had an owner
		if got := after.Room(id).Revision; got != want {
			t.Errorf("room %s has revision %d, want %d", id, got, want)
		}
	}
}

// TestARevisionNeverGoesBack: a node has seen that a room's owner went, and reads all again after an outage. Of the entry that is gone
// no revision is left; whoever has not heard of the change yet asks for what came after an earlier one.
func TestARevisionNeverGoesBack(t *testing.T) {
	spec := discovery.Entry{Key: "r-1/spec", Value: []byte(`{"game":"arena"}`), Revision: 40}
	before, after := NewView(), NewView()
	before.Apply(spec)
	before.Apply(discovery.Entry{Key: "r-1/owner", Value: []byte(`{"node":"a"}`), Revision: 50})
	before.Apply(discovery.Entry{Key: "r-1/owner", Gone: true, Revision: 60})
	after.Apply(spec)
	after.since(before, 70)
	if got := after.Room("r-1").Revision; got < 60 {
		t.Errorf("the room changed at revision 60, and now at %d", got)
	}
	restored := NewView() // from a backup: the source's revisions begin again lower
	restored.Apply(spec)
	restored.since(before, 45)
	if got := restored.Room("r-1").Revision; got > 45 {
		t.Errorf("the room changed at %d, after the source's revision 45", got)
	}
}
