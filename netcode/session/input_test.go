package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ferris1/wind/ecs"
)

func in(tick, seq uint64) sample {
	return sample{tick: tick, seq: seq, kind: 2, payload: []byte{byte(seq)}}
}

// newest returns the number of the sample that repeats.
func newest(q *inputs, kind uint16) uint64 {
	for _, r := range q.last {
		if r.kind == kind {
			return r.seq
		}
	}
	return 0
}

// uses renders what a tick takes as text.
func uses(q *inputs, tick uint64) (got []string) {
	q.take(tick, 100, func(s sample, flags uint8) bool {
		got = append(got, fmt.Sprintf("%d/%d repeated %v", s.kind, s.seq, flags == ecs.FlagRepeated))
		return true
	})
	return got
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInputIsUsedAtItsTickElseTheLastRepeats(t *testing.T) {
	var q inputs
	expect(t, uses(&q, 1))
	q.add(in(3, 1), 1)
	q.add(in(4, 2), 1)
	expect(t, uses(&q, 2))
	expect(t, uses(&q, 3), "2/1 repeated false")
	expect(t, uses(&q, 4), "2/2 repeated false")
	expect(t, uses(&q, 5), "2/2 repeated true")
	q.add(in(7, 3), 5)
	expect(t, uses(&q, 6), "2/2 repeated true")
	expect(t, uses(&q, 7), "2/3 repeated false")
}

func TestLateInputRepeatsFromThenOn(t *testing.T) {
	var q inputs
	q.add(in(1, 1), 0)
	expect(t, uses(&q, 1), "2/1 repeated false")
	if v := q.add(in(1, 2), 1); v != late {
		t.Errorf("verdict %d", v)
	}
	expect(t, uses(&q, 2), "2/2 repeated true")
	if v := q.add(in(2, 1), 2); v != duplicate {
		t.Errorf("an input older than what was used: verdict %d", v)
	}
	expect(t, uses(&q, 3), "2/2 repeated true")
}

func TestInputTooFarAheadIsForgotten(t *testing.T) {
	var q inputs
	if v := q.add(in(10+MaxTicksAhead+1, 1), 10); v != early {
		t.Errorf("verdict %d", v)
	}
	if v := q.add(in(10+MaxTicksAhead, 1), 10); v != taken {
		t.Errorf("verdict %d", v)
	}
}

func TestUnusableInputRepeatsTheLastUsableOne(t *testing.T) {
	var q inputs
	q.add(in(1, 1), 0)
	uses(&q, 1)
	q.add(in(2, 2), 1)
	var got []uint64
	q.take(2, 100, func(s sample, _ uint8) bool {
		if s.seq == 2 {
			return false
		}
		got = append(got, s.seq)
		return true
	})
	if !slices.Equal(got, []uint64{1}) {
		t.Errorf("used %v, want the first one again", got)
	}
	q.take(3, 100, func(sample, uint8) bool { return false })
	expect(t, uses(&q, 4))
}

// TestInputQueueHoldsItsPromises plays random arrivals against the rules.
func TestInputQueueHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q inputs
		latched, seq := uint64(100), uint64(0)
		lastSeq := map[uint16]uint64{}
		const hold = 3
		fresh := map[uint16]uint64{} // by kind: the tick that used a sample first, or the newest latched one when it came late
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			for range rapid.IntRange(0, 5).Draw(t, "arrivals") {
				seq += uint64(rapid.IntRange(0, 2).Draw(t, "seq"))
				s := sample{
					tick: uint64(int(latched) + rapid.IntRange(-3, MaxTicksAhead+3).Draw(t, "tick")), seq: seq,
					kind: uint16(rapid.IntRange(2, 5).Draw(t, "kind")), payload: []byte{1},
				}
				before := newest(&q, s.kind)
				v := q.add(s, latched)
				if v == late && s.seq >= before {
					fresh[s.kind] = latched
				}
				if v == taken && (s.tick <= latched || s.tick > latched+MaxTicksAhead) {
					t.Fatalf("took an input for tick %d at %d", s.tick, latched)
				}
			}
			if len(q.waiting) > maxSamples {
				t.Fatalf("%d inputs wait", len(q.waiting))
			}
			if !slices.IsSortedFunc(q.waiting, func(a, b sample) int { return int(int64(a.tick) - int64(b.tick)) }) {
				t.Fatal("not in the order of ticks")
			}
			latched++
			used := map[uint16]int{}
			q.take(latched, hold, func(s sample, flags uint8) bool {
				used[s.kind]++
				if flags == 0 {
					fresh[s.kind] = latched
				}
				if neutral := flags == ecs.FlagRepeated|ecs.FlagNeutral; neutral != (latched-fresh[s.kind] > hold) {
					t.Fatalf("tick %d uses flags %d, the newest sample of kind %d came before %d", latched, flags, s.kind, fresh[s.kind])
				}
				if flags == 0 && s.tick != latched {
					t.Fatalf("tick %d used an input for %d as its own", latched, s.tick)
				}
				lastSeq[s.kind] = s.seq
				return true
			})
			for kind, n := range used {
				if n > 1 {
					t.Fatalf("tick %d used kind %d %d times", latched, kind, n)
				}
			}
			for kind := range lastSeq {
				if used[kind] != 1 {
					t.Fatalf("tick %d has no input of kind %d, which came before", latched, kind)
				}
			}
		}
	})
}
