package discovery

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

var seed = flag.Uint64("seed", 0, "seed of the tests that draw at random; 0: a new one")

// source returns a random source and prints its seed if the test fails.
func source(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with -seed=%d", s)
		}
	})
	return rand.New(rand.NewPCG(s, s))
}

func mustParse(t *testing.T, text string) Selector {
	t.Helper()
	s, err := ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// idle returns n candidates without load.
func idle(n int) []Candidate {
	all := make([]Candidate, n)
	for i := range all {
		all[i] = Candidate{ID: fmt.Sprintf("game-%04d", i)}
	}
	return all
}

// loads returns candidates with these loads.
func loads(l ...float64) []Candidate {
	all := idle(len(l))
	for i := range all {
		all[i].Load = l[i]
	}
	return all
}

// chiSquare returns the statistic for counts that should be equal.
func chiSquare(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	want, sum := float64(total)/float64(len(counts)), 0.0
	for _, n := range counts {
		sum += (float64(n) - want) * (float64(n) - want) / want
	}
	return sum
}

// limit returns a chi-square that even counts in n classes exceed at most once in a million.
func limit(n int) float64 {
	k := float64(n - 1)
	return k * math.Pow(1-2/(9*k)+5.2*math.Sqrt(2/(9*k)), 3) // Wilson and Hilferty
}

// evenly draws with s and requires that the candidates in may are chosen evenly, and no others.
func evenly(t *testing.T, s Selector, c []Candidate, may ...int) {
	t.Helper()
	r, counts := source(t), make([]int, len(c))
	for range 2000 * len(may) {
		counts[s.Pick(c, "", r.Uint64())]++
	}
	var of []int
	for _, i := range may {
		of, counts[i] = append(of, counts[i]), 0
	}
	for i, n := range counts {
		if n > 0 {
			t.Errorf("candidate %d with load %g was chosen %d times", i, c[i].Load, n)
		}
	}
	if len(of) > 1 && chiSquare(of) > limit(len(of)) {
		t.Errorf("of %d chosen evenly: %v, chi-square %.1f above %.1f", len(of), of, chiSquare(of), limit(len(of)))
	}
}

func TestSelectorsChooseByLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		loads []float64
		may   []int
	}{
		{"random", []float64{0, 0.5, 0.99, 0, 0.2}, []int{0, 1, 2, 3, 4}},
		{"random", []float64{0.7}, []int{0}},
		{"least", []float64{0.3, 0.1, 0.2, 0.1, 0.1}, []int{1, 3, 4}},
		{"", []float64{0.3, 0.1, 0.2}, []int{1}},
		{"max-threshold=0.5", []float64{0.49, 0.4, 0.6, 0.4}, []int{1, 3}},
		{"max-threshold", []float64{0.9, 0.79}, []int{1}},
		{"bin-pack=0.5", []float64{0.1, 0.49, 0.5, 0.49, 0.9}, []int{1, 3}},
		{"bin-pack=0.5", []float64{0.6, 0.9, 0.6, 0.7}, []int{0, 2}},
		{"bin-pack", []float64{0, 0.79, 0.8}, []int{1}},
		{"min-threshold=0.5", []float64{0.1, 0.49, 0.5, 0.9, 0}, []int{0, 1, 4}},
		{"min-threshold=0.5", []float64{0.7, 0.6, 0.9, 0.6}, []int{1, 3}},
		{"min-threshold", []float64{0.19, 0.2, 0.3}, []int{0}},
		{"consistent-hash", []float64{0.1, 0.2, 0.3}, []int{0, 1, 2}}, // without a key
	} {
		t.Run(fmt.Sprint(c.name, c.loads), func(t *testing.T) { evenly(t, mustParse(t, c.name), loads(c.loads...), c.may...) })
	}
}

func TestMaxThresholdRefusesWhenAllAreAtIt(t *testing.T) {
	if i := MaxThreshold(0.5).Pick(loads(0.5, 0.9), "", 1); i != -1 {
		t.Errorf("candidate %d was chosen", i)
	}
}

// play places n players on instances with capacity seats each and returns how many each has.
func play(t *testing.T, s Selector, instances, capacity, n int) []int {
	r, c, players := source(t), idle(instances), make([]int, instances)
	for range n {
		i := s.Pick(c, "", r.Uint64())
		players[i]++
		c[i].Load = float64(players[i]) / float64(capacity)
	}
	return players
}

func TestSelectorsSpreadPlayers(t *testing.T) {
	for name, want := range map[string]func(players []int) bool{
		"least":             func(p []int) bool { return p[0] == 30 && p[1] == 30 && p[2] == 30 && p[3] == 30 },
		"max-threshold=0.5": func(p []int) bool { return p[0] == 30 && p[1] == 30 && p[2] == 30 && p[3] == 30 },
		"bin-pack=0.5": func(p []int) bool { // two at the threshold, a third with the rest
			n := map[int]int{}
			for _, k := range p {
				n[k]++
			}
			return n[50] == 2 && n[20] == 1 && n[0] == 1
		},
		"min-threshold=0.2": func(p []int) bool { return min(p[0], p[1], p[2], p[3]) == 30 },
	} {
		if players := play(t, mustParse(t, name), 4, 100, 120); !want(players) {
			t.Errorf("%s: 120 players on four instances for 100: %v", name, players)
		}
	}
}

func TestConsistentHashSpreadsKeysEvenly(t *testing.T) {
	c, counts := idle(20), make([]int, 20)
	for k := range 40000 {
		counts[ConsistentHash.Pick(c, fmt.Sprint("player-", k), 0)]++
	}
	if chiSquare(counts) > limit(20) {
		t.Errorf("counts %v, chi-square %.1f above %.1f", counts, chiSquare(counts), limit(20))
	}
}

// TestConsistentHashMovesFewKeys removes one of n instances, then adds one: only its own keys move, about one n-th.
func TestConsistentHashMovesFewKeys(t *testing.T) {
	const n, keys = 16, 8000
	all := idle(n)
	without := append(append([]Candidate{}, all[:5]...), all[6:]...)
	moved, heirs := 0, map[string]int{}
	for k := range keys {
		key := fmt.Sprint("player-", k)
		before, after := all[ConsistentHash.Pick(all, key, uint64(k))].ID, without[ConsistentHash.Pick(without, key, 7)].ID
		if before == after {
			continue
		}
		if before != all[5].ID {
			t.Fatalf("%s moved from %s to %s, and %s had left", key, before, after, all[5].ID)
		}
		moved++
		heirs[after]++
	}
	if most := keys/n + keys/n/3; moved > most || moved < keys/n-keys/n/3 {
		t.Errorf("%d of %d keys moved, want about %d", moved, keys, keys/n)
	}
	if len(heirs) != n-1 {
		t.Errorf("the keys went to %d instances, want %d", len(heirs), n-1)
	}
}

// The numbers are a contract: a gateway of another version must send a player to the same instance.
func TestConsistentHashIsTheSameEverywhere(t *testing.T) {
	if h := hashText("game-1"); h != 0xa006bad704342f64 {
		t.Errorf("hash %#x", h)
	}
	var got strings.Builder
	for _, key := range []string{"alice", "bob", "carol", "dave", "Ζωή"} {
		fmt.Fprint(&got, ConsistentHash.Pick(idle(9), key, 0), " ")
	}
	if got.String() != "6 1 3 1 6 " {
		t.Errorf("places %q", got.String())
	}
}

func TestUnknownSelectorNamesTheKnownOnes(t *testing.T) {
	for _, text := range []string{"fair", "least=0.5", "max-threshold=", "max-threshold=1.5", "bin-pack=0", "min-threshold=NaN", "max-threshold=x", " least", "random="} {
		s, err := ParseSelector(text)
		if err == nil || s != nil || !strings.Contains(err.Error(), "consistent-hash") || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}
