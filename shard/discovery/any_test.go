package discovery

import (
	"encoding/json"
	"testing"
)

// TestAnyPrefersInstancesThatAnswer: one that is up, however full; if none is, one that drains; never one that hangs or that
// the caller has tried.
func TestAnyPrefersInstancesThatAnswer(t *testing.T) {
	full := Instance{ID: "full", State: Up, Load: 1}
	draining := Instance{ID: "draining", State: Draining}
	hung := Instance{ID: "hung", State: Up, Hung: "a handler"}
	gone := Instance{ID: "leaves", State: Draining, Hung: "a handler"}
	for _, c := range []struct {
		all  []Instance
		not  []string
		want string
	}{
		{[]Instance{draining, full, hung}, nil, "full"},
		{[]Instance{draining, full, hung}, []string{"full"}, ""},
		{[]Instance{draining, hung, gone}, nil, "draining"},
		{[]Instance{hung, gone}, nil, ""},
		{nil, nil, ""},
	} {
		d := newDirectory(nil, nil)
		for _, i := range c.all {
			i.Type = "game"
			value, err := json.Marshal(i)
			if err != nil {
				t.Fatal(err)
			}
			d.set(Entry{Key: "game/" + i.ID, Value: value})
		}
		d.publish()
		for range 20 { // the choice is random
			if id, ok := d.Any("game", c.not); id != c.want || ok != (c.want != "") {
				t.Fatalf("of %+v without %v: %q", c.all, c.not, id)
			}
		}
	}
}
