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
		t.seats = append(t.seats, newSeat(&record{instance: in, hash: hashText(in.ID), placed: &placed{}}))
	}
	return t
}

func TestPlayersThatArePlacedCountUntilTwoReports(t *testing.T) {
	v := crowd(2, Least, func(_ int, in *Instance) { in.Capacity = 10 })
	took := map[string]int{}
	for range 10 {
		id, ok := v.pick("", "", 1)
		if !ok {
			t.Fatal("there is room")
		}
		took[id]++
	}
	if took["game-0000"] != 5 || took["game-0001"] != 5 {
		t.Errorf("a burst between two reports went to %v", took)
	}
	first := v.seats[0].placed
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
					if id, ok := v.pick(fmt.Sprint(g, "-", k), "", uint64(g*1000+k)); ok {
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
			if _, ok := v.pick(fmt.Sprint("player-", k), "", uint64(k)); !ok {
				t.Fatalf("%s: player %d of 64 was refused", s, k)
			}
		}
		if id, ok := v.pick("one-more", "", 1); ok {
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
		if id, ok := v.pick("", "", 1); ok {
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
				if _, ok := v.pick("player-4711", "", mix(r)); !ok {
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
			if id, ok := v.pick(fmt.Sprint("player-", k), "game-0000", uint64(k)); !ok || id == "game-0000" {
				t.Fatalf("picked %q, %v", id, ok)
			}
		}
	}
	if id, ok := crowd(1, Least, nil).pick("x", "game-0000", 1); ok {
		t.Errorf("picked %s, the only one, which is excluded", id)
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
