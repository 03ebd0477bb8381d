package discovery

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Candidate is an instance that a [Selector] may choose: it is up and has room.
type Candidate struct {
	ID string
	// Players is the number that the instance last reported, plus those that this directory has placed there since.
	Players int
	// Load is the fullness with those players: 0 is idle, 1 is full. It is the larger of the load that the instance
	// reports and players divided by capacity, or by 1000 without a capacity.
	Load float64

	hash uint64 // of ID; 0: not computed yet
}

// Selector chooses the instance that gets the next player. It may be called concurrently and must not keep candidates.
type Selector interface {
	// Pick returns the index of one of the candidates, or -1 to refuse. The candidates are sorted by ID; there is at
	// least one. The key names whom to place, such as a player; it may be empty. r is the only source of randomness, so
	// equal arguments give equal answers.
	Pick(candidates []Candidate, key string, r uint64) int
}

// SelectorFunc is a function that implements Selector.
type SelectorFunc func(candidates []Candidate, key string, r uint64) int

// Pick calls the function.
func (f SelectorFunc) Pick(candidates []Candidate, key string, r uint64) int {
	return f(candidates, key, r)
}

// The selectors. ferris1/wind had Random and announced "minimum threshold and maximum threshold". Its maximum threshold
// exists here in both meanings: MaxThreshold spreads players and BinPack gathers them.
var (
	// Random chooses uniformly at random: "random".
	Random Selector = SelectorFunc(func(c []Candidate, _ string, r uint64) int { return int(mix(r) % uint64(len(c))) })
	// Least chooses the least loaded candidate, at random among equals: "least".
	Least Selector = SelectorFunc(func(c []Candidate, _ string, r uint64) int {
		return best(c, r, func(load float64) float64 { return -load })
	})
	// ConsistentHash chooses the same instance for the same key on every gateway while that instance exists:
	// "consistent-hash". If one of n leaves, only its keys move, evenly to the others; one that joins takes one n-th.
	// (Rendezvous hashing, Thaler and Ravishankar 1998.) A key whose instance is full goes to its second choice.
	// Without a key it is Random.
	ConsistentHash Selector = SelectorFunc(rendezvous)
)

// Default thresholds.
const (
	DefaultMaxThreshold = 0.8
	DefaultMinThreshold = 0.2
)

// MaxThreshold chooses the least loaded candidate below a load. It refuses if none is below, so that no instance is
// ever filled beyond it: "max-threshold=0.8".
func MaxThreshold(most float64) Selector {
	return SelectorFunc(func(c []Candidate, _ string, r uint64) int {
		return best(c, r, func(load float64) float64 { return below(load, most, -load) })
	})
}

// BinPack chooses the most loaded candidate below a load, so that as few instances as possible are in use and the
// others can be stopped. If none is below, it chooses the least loaded: "bin-pack=0.8".
func BinPack(most float64) Selector {
	return SelectorFunc(func(c []Candidate, key string, r uint64) int {
		if i := best(c, r, func(load float64) float64 { return below(load, most, load) }); i >= 0 {
			return i
		}
		return Least.Pick(c, key, r)
	})
}

// MinThreshold first fills the instances below a minimum load, choosing among them uniformly at random, so that new
// instances reach the minimum before the others get more and no gateway with stale figures sends everybody to one of
// them. If none is below, it chooses the least loaded: "min-threshold=0.2".
func MinThreshold(least float64) Selector {
	return SelectorFunc(func(c []Candidate, key string, r uint64) int {
		if i := best(c, r, func(load float64) float64 { return below(load, least, 0) }); i >= 0 {
			return i
		}
		return Least.Pick(c, key, r)
	})
}

// below returns score if load is below limit, otherwise minus infinity.
func below(load, limit, score float64) float64 {
	if load < limit {
		return score
	}
	return math.Inf(-1)
}

// best returns the index with the highest score, at random among equals, or -1 if all scores are minus infinity.
func best(c []Candidate, r uint64, score func(load float64) float64) int {
	at, top, equal := -1, math.Inf(-1), uint64(0)
	for i := range c {
		switch s := score(c[i].Load); {
		case s > top:
			at, top, equal = i, s, 1
		case s == top && at >= 0:
			equal++
			if mix(r+equal)%equal == 0 {
				at = i
			}
		}
	}
	return at
}

func rendezvous(c []Candidate, key string, r uint64) int {
	if key == "" {
		return Random.Pick(c, key, r)
	}
	k, at, top := hashText(key), 0, uint64(0)
	for i := range c {
		h := c[i].hash
		if h == 0 {
			h = hashText(c[i].ID)
		}
		if w := mix(h ^ k); w > top {
			at, top = i, w
		}
	}
	return at
}

// hashText and mix are part of the contract between gateways: a change moves every key.
// hashText is FNV-1a of 64 bits, mixed.
func hashText(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64: flipping a bit of x flips half of the result's bits on average.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// SelectorNames lists the names that ParseSelector accepts, for help texts.
const SelectorNames = "random, least, max-threshold[=0.8], min-threshold[=0.2], bin-pack[=0.8], consistent-hash"

// ParseSelector returns the selector with this name. A threshold may follow an equals sign: a load above 0 and at most 1.
// The empty text means least.
func ParseSelector(text string) (Selector, error) {
	name, value, given := strings.Cut(text, "=")
	plain := map[string]Selector{"": Least, "least": Least, "random": Random, "consistent-hash": ConsistentHash}
	if s, ok := plain[name]; ok && !given {
		return s, nil
	}
	threshold, build := 0.0, (func(float64) Selector)(nil)
	switch name {
	case "max-threshold":
		threshold, build = DefaultMaxThreshold, MaxThreshold
	case "min-threshold":
		threshold, build = DefaultMinThreshold, MinThreshold
	case "bin-pack":
		threshold, build = DefaultMaxThreshold, BinPack
	default:
		return nil, fmt.Errorf("discovery: no selector %.60q: one of %s", text, SelectorNames)
	}
	if given {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !(v > 0 && v <= 1) {
			return nil, fmt.Errorf("discovery: selector %.60q: a threshold is a load above 0, at most 1: one of %s", text, SelectorNames)
		}
		threshold = v
	}
	return build(threshold), nil
}
