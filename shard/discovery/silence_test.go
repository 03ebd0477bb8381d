package discovery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestSilence: a word is a request to one instance, "-" without an answer and "+" with one, a second apart; each digit is as
// many seconds in which nothing happens.
func TestSilence(t *testing.T) {
	for events, want := range map[string]bool{
		"":            false,
		"--":          false,
		"---":         true,
		"--+-":        false, // not in a row
		"---+":        false,
		"---+--":      false,
		"---7":        true,
		"---9":        false, // for ten seconds
		"---9-":       true,  // one more is enough
		"---9+--":     false,
		"-9-9-":       true, // a row, however slow
		"+++":         false,
		"+---":        true,
		"----------9": false,
		"---5-5":      true, // the last of them counts
	} {
		var s silence
		now := time.Unix(1_800_000_000, 0)
		for _, e := range strings.Split(events, "") {
			now = now.Add(time.Second)
			switch e {
			case "-", "+":
				s.heard("game", "game-1", e == "+", now)
				s.heard("game", "game-2", true, now)
			case "":
			default:
				now = now.Add(time.Duration(e[0]-'0'-1) * time.Second)
			}
		}
		now = now.Add(time.Second)
		if got := s.silent("game", "game-1", now); got != want {
			t.Errorf("%q: silent %v, want %v", events, got, want)
		}
		if s.silent("game", "game-2", now) || s.silent("chat", "game-1", now) {
			t.Errorf("%q: others are silent, too", events)
		}
	}
}

// TestSilentInstancesAreAvoided: by requests that any instance may answer and by players, at home or not, unless no other
// takes them.
func TestSilentInstancesAreAvoided(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent []string
		other  Instance // beside game-1, which is up and empty
		want   string   // for a request
		player string
	}{
		{"nobody is silent", nil, Instance{State: Draining}, "game-1", "game-1"},
		{"another is up", []string{"game-1"}, Instance{State: Up}, "game-2", "game-2"},
		{"another is full", []string{"game-1"}, Instance{State: Up, Players: 5, Capacity: 5}, "game-2", "game-1"},
		{"another drains", []string{"game-1"}, Instance{State: Draining}, "game-1", "game-1"},
		{"another hangs", []string{"game-1"}, Instance{State: Up, Hung: "a handler"}, "game-1", "game-1"},
	} {
		d := newDirectory(nil, nil)
		c.other.ID = "game-2"
		for _, i := range []Instance{{ID: "game-1", State: Up}, c.other} {
			i.Type = "game"
			value, err := json.Marshal(i)
			if err != nil {
				t.Fatal(err)
			}
			d.set(Entry{Key: "game/" + i.ID, Value: value})
		}
		d.publish()
		for _, id := range c.silent {
			for range silentAfter {
				d.Heard("game", id, false)
			}
		}
		for range 20 { // the choice is random
			if id, _ := d.Any("game", nil); id != c.want {
				t.Errorf("%s: a request goes to %q, want %q", c.name, id, c.want)
			}
			id, _ := d.Place("game", Player{Key: "ann", Home: "game-1"})
			if d.Leave("game", id); id != c.player {
				t.Errorf("%s: a player goes to %q, want %q", c.name, id, c.player)
			}
		}
		if len(c.silent) == 0 {
			continue
		}
		d.Heard("game", "game-1", true)
		if id, _ := d.Place("game", Player{Home: "game-1"}); id != "game-1" {
			t.Errorf("%s: after an answer the player goes to %q", c.name, id)
		}
	}
}

// TestPlayersStayAtHomeBesideASilentInstance: wherever it is in the list.
func TestPlayersStayAtHomeBesideASilentInstance(t *testing.T) {
	d := newDirectory(nil, nil)
	for _, id := range []string{"game-1", "game-2", "game-3"} {
		value, err := json.Marshal(Instance{Type: "game", ID: id, State: Up})
		if err != nil {
			t.Fatal(err)
		}
		d.set(Entry{Key: "game/" + id, Value: value})
	}
	d.publish()
	for range silentAfter {
		d.Heard("game", "game-1", false)
	}
	for _, home := range []string{"game-2", "game-3"} {
		for range 20 { // the choice is random
			id, _ := d.Place("game", Player{Key: "ann", Home: home})
			if d.Leave("game", id); id != home {
				t.Fatalf("a player of %s goes to %q", home, id)
			}
		}
	}
}
