package discovery

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
)

// crowd returns a view of n instances of type game, each modified by change.
func crowd(n int, selector Selector, change func(i int, in *Instance)) *typeView {
	t := &typeView{selector: selector}
	for k := range n {
		in := Instance{Type: "game", ID: fmt.Sprintf("game-%04d", k), State: Up}
		if change != nil {
			change(k, &in)
		}
		t.instances = append(t.instances, in)
		if in.open() {
			t.seats = append(t.seats, newSeat(&record{instance: in, hash: hashText(in.ID), placed: &placed{}}))
		}
	}
	return t
}

func TestPlayersThatArePlacedCountUntilTwoReports(t *testing.T) {
	v := crowd(2, Least, func(_ int, in *Instance) { in.Capacity = 10 })
	took := map[string]int{}
	for range 10 {
		id, ok := v.pick(Player{}, 1)
		if !ok {
			t.Fatal("there is room")
		}
		took[id]++
	}
	if took["game-0000"] != 5 || took["game-0001"] != 5 {
		t.Errorf("a burst between two reports went to %v", took)
	}
	first := &v.seats[0].placed.came
	if first.rotate(); first.count.Load() != 5 {
		t.Errorf("after a report %d are counted: it may not have had them", first.count.Load())
	}
	if first.rotate(); first.count.Load() != 0 {
		t.Errorf("after two reports %d are counted", first.count.Load())
	}
}

func TestFullInstancesGetNobody(t *testing.T) {
	for _, s := range []string{"random", "least", "max-threshold=1", "min-threshold=1", "bin-pack=1", "consistent-hash"} {
		v := crowd(3, mustParse(t, s), func(i int, in *Instance) {
			in.Capacity, in.Players = 100, 50
			if i == 1 {
				in.Load = 1 // by its own measure
			}
		})
		var mu sync.Mutex
		var wg sync.WaitGroup
		took := map[string]int{}
		for g := range 8 {
			wg.Go(func() {
				for k := range 100 {
					if id, ok := v.pick(Player{Key: fmt.Sprint(g, "-", k)}, uint64(g*1000+k)); ok {
						mu.Lock()
						took[id]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if took["game-0000"] != 50 || took["game-0001"] != 0 || took["game-0002"] != 50 {
			t.Errorf("%s: with 50 seats each and the second full: %v", s, took)
		}
	}
}

func TestPlayersGoOnToWhereThereIsRoom(t *testing.T) {
	for _, s := range []string{"random", "least", "max-threshold=1", "min-threshold=1", "bin-pack=1", "consistent-hash"} {
		v := crowd(4, mustParse(t, s), func(i int, in *Instance) { in.Capacity = 1 + 10*i })
		for k := range 64 {
			if _, ok := v.pick(Player{Key: fmt.Sprint("player-", k)}, uint64(k)); !ok {
				t.Fatalf("%s: player %d of 64 was refused", s, k)
			}
		}
		if id, ok := v.pick(Player{Key: "one-more"}, 1); ok {
			t.Errorf("%s: %s took the 65th of 64", s, id)
		}
	}
}

// A revision and a key do not identify a value: an etcd that lost its data counts from 1 again.
func TestValueWithTheSameRevisionUnderAnotherLeaseIsNew(t *testing.T) {
	d := newDirectory(nil, nil)
	for lease, value := range []string{`{"players":1}`, `{"players":2}`} {
		d.set(Entry{Key: "game/a", Value: []byte(value), Revision: 3, Lease: int64(lease + 1)})
		d.publish()
		if i, _ := d.Instance("game", "a"); i.Players != lease+1 {
			t.Errorf("%s is known as %d players", value, i.Players)
		}
	}
}

func TestSelectorThatErrsRefuses(t *testing.T) {
	for _, answer := range []int{-1, 2, -7} {
		v := crowd(2, SelectorFunc(func([]Candidate, string, uint64) int { return answer }), nil)
		if id, ok := v.pick(Player{}, 1); ok {
			t.Errorf("index %d of 2 chose %s", answer, id)
		}
	}
}

// BenchmarkPick places a player on one of a thousand instances.
func BenchmarkPick(b *testing.B) {
	for _, name := range []string{"random", "least", "max-threshold", "bin-pack", "min-threshold", "consistent-hash"} {
		b.Run(name, func(b *testing.B) {
			s, err := ParseSelector(name)
			if err != nil {
				b.Fatal(err)
			}
			v := crowd(1000, s, func(i int, in *Instance) { in.Players = i % 100 })
			b.ReportAllocs()
			r := uint64(0)
			for b.Loop() {
				r++
				if _, ok := v.pick(Player{Key: "player-4711"}, mix(r)); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}

func TestExcludedInstanceIsNeverPicked(t *testing.T) {
	for _, s := range []Selector{Least, Random, ConsistentHash, BinPack(0.8), MinThreshold(0.2), MaxThreshold(0.8)} {
		v := crowd(3, s, func(k int, in *Instance) { in.Capacity, in.Players = 1000, 100*k })
		for k := range 200 {
			if id, ok := v.pick(Player{Key: fmt.Sprint("player-", k), Except: "game-0000"}, uint64(k)); !ok || id == "game-0000" {
				t.Fatalf("picked %q, %v", id, ok)
			}
		}
	}
	if id, ok := crowd(1, Least, nil).pick(Player{Key: "x", Except: "game-0000"}, 1); ok {
		t.Errorf("picked %s, the only one, which is excluded", id)
	}
}

// leave has a player of each instance leave.
func leave(v *typeView, ids ...string) {
	d := newDirectory(nil, nil)
	d.view.Store(&view{types: map[string]*typeView{"game": v}})
	for _, id := range ids {
		d.Leave("game", id)
	}
}

// back places n players of each home, in turn and before the next report, and returns how many went where.
func back(v *typeView, n int, homes ...string) map[string]int {
	went := map[string]int{}
	for k := range n {
		for _, home := range homes {
			id, _ := v.pick(Player{Key: fmt.Sprint(home, k), Home: home}, uint64(k))
			went[id]++
		}
	}
	return went
}

func TestPlayersWhoComeBackGoHomeUnlessOthersAreMuchEmptier(t *testing.T) {
	// All have left, as the reports say; then two more instances have joined.
	v := crowd(4, Least, func(_ int, in *Instance) { in.Capacity = 100 })
	went := back(v, 100, "game-0000", "game-0001")
	for _, i := range v.instances {
		if n := went[i.ID]; n < 38 || n > 62 {
			t.Errorf("after a scale-out, all come back at once: %v", went)
		}
	}
	// All have left through this directory, and the reports still have them.
	v = crowd(4, Least, func(i int, in *Instance) {
		if in.Capacity = 100; i < 2 {
			in.Players = 100
		}
	})
	for range 100 {
		leave(v, "game-0000", "game-0001")
	}
	went = back(v, 100, "game-0000", "game-0001")
	for _, i := range v.instances {
		if n := went[i.ID]; n < 38 || n > 62 {
			t.Errorf("after a scale-out, all leave and come back at once: %v", went)
		}
	}
	// Half of each instance's players come back, and the reports still have them all.
	for _, s := range []string{"random", "least", "max-threshold=1", "min-threshold=1", "bin-pack=1", "consistent-hash"} {
		v = crowd(4, mustParse(t, s), func(i int, in *Instance) { in.Capacity, in.Players = 100, 80+i })
		went := back(v, 40, "game-0000", "game-0001", "game-0002", "game-0003")
		for _, i := range v.instances {
			if went[i.ID] != 40 {
				t.Errorf("%s: 40 players of each come back after a gateway's end: %v", s, went)
			}
		}
	}
	// A few players more are no reason to move, nor is a home without room one to stay.
	v = crowd(2, Least, func(i int, in *Instance) { in.Players = 2 - 2*i })
	leave(v, "game-0000")
	if id, _ := v.pick(Player{Home: "game-0000"}, 1); id != "game-0000" {
		t.Errorf("a player leaves an instance with two players for %s", id)
	}
	for name, change := range map[string]func(in *Instance){
		"full":      func(in *Instance) { in.Capacity, in.Players = 1, 1 },
		"over-full": func(in *Instance) { in.Capacity, in.Players = 1, 3 },
		"busy":      func(in *Instance) { in.Load = 1 },
		"hung":      func(in *Instance) { in.Hung = "a handler" },
	} {
		d := newDirectory(nil, nil)
		for i, id := range []string{"a", "b"} {
			in := Instance{Type: "game", ID: id, State: Up}
			if i == 0 {
				change(&in)
			}
			value, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			d.set(Entry{Key: "game/" + id, Value: value})
		}
		d.publish()
		if name != "full" {
			d.Leave("game", "a")
		}
		if id, _ := d.Place("game", Player{Home: "a"}); id != "b" {
			t.Errorf("a player whose home is %s goes to %q", name, id)
		}
	}
}

func TestBoundSumsUpWhatGatewaysTell(t *testing.T) {
	d := newDirectory(nil, nil)
	if n, ok := d.Bound("gateway", "game", "game-1"); n != 0 || ok {
		t.Errorf("%d, %v without a gateway", n, ok)
	}
	for id, n := range map[string]int{"a": 2, "b": 5} {
		value, err := json.Marshal(Instance{Type: "gateway", ID: id, State: Up, Bound: map[string]int{"game/game-1": n, "chat/game-1": 100}})
		if err != nil {
			t.Fatal(err)
		}
		d.set(Entry{Key: "gateway/" + id, Value: value})
	}
	d.publish()
	if n, ok := d.Bound("gateway", "game", "game-1"); n != 7 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
}
