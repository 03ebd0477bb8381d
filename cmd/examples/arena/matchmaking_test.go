package arena

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"

	"github.com/ferris1/wind/cmd/examples/arena/scripts"
	"github.com/ferris1/wind/systems/script"
)

// pure are the lobby's functions that depend only on their arguments.
type pure map[string]*starlark.Function

func lobbyFunctions(t testing.TB) pure {
	t.Helper()
	all, err := script.ReadFolder(scripts.FS(), scripts.Lobby)
	if err != nil {
		t.Fatal(err)
	}
	var modules []script.Module
	for _, m := range all {
		switch m.Name {
		case "lib/rules.star", "lib/queue.star", "lib/rating.star", "lib/ledger.star":
			modules = append(modules, m)
		}
	}
	set, err := script.Load(modules, script.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := pure{}
	for _, f := range set.Functions("", "") {
		p[f.Name] = f.Func
	}
	return p
}

// call calls a function with values that encode to JSON, and decodes what it returns into out.
func (p pure) call(t testing.TB, out any, name string, args ...any) {
	t.Helper()
	got, _ := p.run(t, name, args...)
	decoded(t, got, out)
}

// changed is call for a function that changes its first argument, and decodes that into out.
func (p pure) changed(t testing.TB, out any, name string, args ...any) {
	t.Helper()
	_, values := p.run(t, name, args...)
	decoded(t, values[0], out)
}

func (p pure) run(t testing.TB, name string, args ...any) (got starlark.Value, values []starlark.Value) {
	t.Helper()
	decode := starjson.Module.Members["decode"]
	for _, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		v, err := starlark.Call(&starlark.Thread{}, decode, starlark.Tuple{starlark.String(b)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	got, err := script.Call(&starlark.Thread{}, p[name], 5_000_000, values...) // half of a handler's budget
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return got, values
}

// decoded decodes a value of a script into out.
func decoded(t testing.TB, v starlark.Value, out any) {
	t.Helper()
	text, err := starlark.Call(&starlark.Thread{}, starjson.Module.Members["encode"], starlark.Tuple{v}, nil)
	if err == nil {
		err = json.Unmarshal([]byte(text.(starlark.String)), out)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// place is a player's place in the queue.
type place struct {
	Size   int     `json:"size"`
	Rating int     `json:"rating"`
	Since  float64 `json:"since"`
}

// queueOf reads "ann 2 1000 0, …": name, size, rating, seconds waited.
func queueOf(text string) map[string]place {
	queue := map[string]place{}
	for one := range strings.SplitSeq(text, ", ") {
		var name string
		var p place
		if _, err := fmt.Sscan(one, &name, &p.Size, &p.Rating, &p.Since); err == nil {
			p.Since = 1000 - p.Since
			queue[name] = p
		}
	}
	return queue
}

func TestWhoLeavesTheQueueTogether(t *testing.T) {
	p := lobbyFunctions(t)
	for _, c := range []struct{ waiting, want string }{
		{"", ""},
		{"ann 2 1000 0", ""},
		{"ann 2 1000 0, bob 2 1100 0", "ann bob"},
		{"ann 2 1000 0, bob 2 1101 0", ""},
		{"ann 2 1000 1, bob 2 1101 0", ""},                      // bob, who has just come, does not accept her
		{"ann 2 1000 1, bob 2 1150 1", "ann bob"},               // the gap widens by 50 each second
		{"ann 2 1000 1, bob 2 1151 1", ""},                      //
		{"ann 2 1000 0, bob 3 1000 0", ""},                      // other sizes
		{"ann 3 1000 5.9, bob 3 1000 5.9", ""},                  // not full
		{"ann 3 1000 6, bob 3 1000 0", "ann bob"},               // a smaller match will do
		{"ann 3 1000 6, bob 3 1200 1", ""},                      // but with whom?
		{"ann 3 1000 9.9", ""},                                  //
		{"ann 3 1000 10", "ann"},                                // alone, against the monsters
		{"ann 3 1000 10, bob 3 3000 0", "ann bob"},              // whatever the gap
		{"ann 2 1000 3, bob 2 1090 0, cid 2 1010 0", "ann cid"}, // the nearest
		{"ann 2 1000 3, bob 2 990 0, cid 2 1010 0", "ann bob"},
		{"ann 2 1000 1, bob 2 1000 2, cid 2 1000 3", "cid bob"},                        // whoever has waited longest
		{"ann 2 1000 1, bob 2 1000 2, cid 2 1000 3, dan 2 1000 0", "cid bob, ann dan"}, //
		{"ann 4 1000 0, bob 4 1010 0, cid 4 1020 0, dan 4 1030 0, eve 4 1040 0", "ann bob cid dan"},
		{"ann 2 1500 9, bob 2 1000 0, cid 2 1005 0", "bob cid"}, // ann waits on
	} {
		var groups [][]string
		p.call(t, &groups, "groups", queueOf(c.waiting), 1000)
		var got []string
		for _, g := range groups {
			got = append(got, strings.Join(g, " "))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q leave, want %q", c.waiting, text, c.want)
		}
	}
}

// TestNobodyWaitsLongerThanTheBound: whoever comes and whenever, everybody leaves the queue within its bound, once, in a
// match of the size that was asked for or a smaller one.
func TestNobodyWaitsLongerThanTheBound(t *testing.T) {
	const bound, round = 10, 0.25
	p := lobbyFunctions(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	waiting, came, longest := map[string]place{}, 0, 0.0
	full, all := 0, 0
	for now := 0.0; now < 120; now += round {
		for r.Float64() < 0.5 && now < 100 { // bursts
			waiting[fmt.Sprint("p", came)] = place{Size: 2 + r.IntN(4), Rating: 1000 + int(400*r.NormFloat64()), Since: now}
			came++
		}
		var groups [][]string
		p.call(t, &groups, "groups", waiting, now)
		for _, g := range groups {
			size := waiting[g[0]].Size
			if all++; len(g) == size {
				full++
			}
			for _, player := range g {
				w, ok := waiting[player]
				if !ok || w.Size != size || len(g) > size {
					t.Fatalf("seed %d: %v leave for a match of %d; %s: %v", seed, g, size, player, w)
				}
				longest = max(longest, now-w.Since)
				delete(waiting, player)
			}
		}
	}
	t.Logf("%d players, %d matches, %d of them full, longest wait %.2f s", came, all, full, longest)
	if len(waiting) > 0 || longest > bound+round || full*2 < all {
		t.Errorf("seed %d: %d still wait, the longest wait was %.2f s, %d of %d matches are full", seed, len(waiting), longest, full, all)
	}
}

// TestAFullQueueFitsIntoTheBudget: a round that took more than its budget of steps would never end.
func TestAFullQueueFitsIntoTheBudget(t *testing.T) {
	p := lobbyFunctions(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{2, 10} {
		for _, spread := range []float64{0, 400, 100_000} {
			waiting := map[string]place{}
			for i := range 4000 {
				waiting[fmt.Sprint("p", i)] = place{Size: size, Rating: 1000 + int(spread*r.NormFloat64()), Since: 1000 - 9.9*r.Float64()}
			}
			var groups [][]string
			p.call(t, &groups, "groups", waiting, 1000) // fails if it takes too many
			if spread < 1000 && len(groups) < 4000/size*3/4 {
				t.Errorf("seed %d: of 4000 players within %.0f points %d groups of %d leave", seed, spread, len(groups), size)
			}
		}
	}
}

// TestAFullLobbyTakesNobodyMore: the ledger is one value of a bounded size, whatever arrives at once.
func TestAFullLobbyTakesNobodyMore(t *testing.T) {
	p := lobbyFunctions(t)
	var full map[string]any
	p.call(t, &full, "new_ledger", "test")
	waiting, joins := map[string]place{}, map[string]any{}
	for i := range 3997 {
		waiting[fmt.Sprint("p", i)] = place{Size: 4, Rating: 1000}
	}
	full["waiting"] = waiting
	full["matches"] = map[string]any{"1": map[string]any{"players": map[string]int{"ann": 1000, "bob": 1000}}}
	for i := range 500 {
		joins[fmt.Sprint("join/q", i)] = place{Size: 4, Rating: 1000}
	}
	joins["join/p0"] = place{Size: 2, Rating: 1000} // has a place, and wants another match
	var after struct{ Waiting map[string]place }
	p.changed(t, &after, "merge", full, joins)
	if len(after.Waiting) != 3998 || after.Waiting["p0"].Size != 2 {
		t.Errorf("%d wait, p0 for a match of %d", len(after.Waiting), after.Waiting["p0"].Size)
	}
}

// arenaResult is the result of a match as a room's description has it.
type arenaResult struct {
	Players []string `json:"players"`
	Kills   []int    `json:"kills"`
	Deaths  []int    `json:"deaths"`
}

func TestAResultMovesRatings(t *testing.T) {
	p := lobbyFunctions(t)
	type ratings = map[string]int
	for name, c := range map[string]struct {
		before ratings
		result *arenaResult
		want   ratings
	}{
		"a win among equals":  {ratings{"ann": 1000, "bob": 1000}, &arenaResult{[]string{"ann", "bob", ""}, []int{3, 2, 0}, []int{9, 0, 0}}, ratings{"ann": 16, "bob": -16}},
		"fewer deaths":        {ratings{"ann": 1000, "bob": 1000}, &arenaResult{[]string{"ann", "bob"}, []int{3, 3}, []int{1, 0}}, ratings{"ann": -16, "bob": 16}},
		"a draw":              {ratings{"ann": 1000, "bob": 1000}, &arenaResult{[]string{"bob", "ann"}, []int{3, 3}, []int{1, 1}}, ratings{"ann": 0, "bob": 0}},
		"the favourite wins":  {ratings{"ann": 1200, "bob": 1000}, &arenaResult{[]string{"ann", "bob"}, []int{1, 0}, []int{0, 0}}, ratings{"ann": 8, "bob": -8}},
		"the favourite loses": {ratings{"ann": 1200, "bob": 1000}, &arenaResult{[]string{"ann", "bob"}, []int{0, 1}, []int{0, 0}}, ratings{"ann": -24, "bob": 24}},
		"no points to win":    {ratings{"ann": 1900, "bob": 1000}, &arenaResult{[]string{"ann", "bob"}, []int{1, 0}, []int{0, 0}}, ratings{"ann": 0, "bob": 0}},
		"who never came":      {ratings{"ann": 1000, "bob": 1000}, &arenaResult{[]string{"ann", ""}, []int{1, 0}, []int{0, 0}}, ratings{"ann": 16, "bob": -16}},
		"a stranger":          {ratings{"ann": 1000, "bob": 1000}, &arenaResult{[]string{"eve", "ann", "bob"}, []int{9, 1, 0}, []int{0, 0, 0}}, ratings{"ann": 16, "bob": -16}},
		"three":               {ratings{"ann": 1000, "bob": 1000, "cid": 1000}, &arenaResult{[]string{"ann", "bob", "cid"}, []int{3, 2, 1}, []int{0, 0, 0}}, ratings{"ann": 16, "bob": 0, "cid": -16}},
		"alone":               {ratings{"ann": 1000}, &arenaResult{[]string{"ann"}, []int{3}, []int{0}}, ratings{"ann": 0}},
		"no result":           {ratings{"ann": 1000, "bob": 1000}, nil, ratings{"ann": 0, "bob": 0}},
	} {
		got := ratings{}
		p.call(t, &got, "changes", c.before, c.result)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestRatingsAreConserved: whatever the ratings and the result, what some win the others lose.
func TestRatingsAreConserved(t *testing.T) {
	p := lobbyFunctions(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	moved := 0
	for range 300 {
		before, result := map[string]int{}, &arenaResult{Players: []string{}}
		for i := range 1 + r.IntN(10) {
			name := fmt.Sprint("p", i)
			before[name] = 1000 + int(500*r.NormFloat64())
			if r.IntN(8) > 0 {
				result.Players, result.Kills, result.Deaths = append(result.Players, name), append(result.Kills, r.IntN(4)), append(result.Deaths, r.IntN(3))
			}
		}
		var changed map[string]int
		p.call(t, &changed, "changes", before, result)
		sum := 0
		for _, d := range changed {
			sum += d
			moved = max(moved, d)
		}
		if sum != 0 || len(changed) != len(before) {
			t.Fatalf("seed %d: %v with %+v changes by %v, in all by %d", seed, before, *result, changed, sum)
		}
	}
	if moved == 0 {
		t.Error("nobody ever wins a point")
	}
}
