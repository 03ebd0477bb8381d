package shard

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/persistence"
)

// d returns a tick's delta with a body of the given length.
func d(tick uint64, epoch persistence.Epoch, size int) persistence.Delta {
	return persistence.Delta{Tick: tick, Epoch: epoch, RecordSeq: persistence.Seq(tick), Part: 1, Parts: 1, Body: make([]byte, size)}
}

// content returns, as text, what a ring would publish, and empties it.
func content(r *ring) string {
	text := ""
	for {
		all := r.oldest(nil, 100)
		if len(all) == 0 {
			return text
		}
		for _, x := range all {
			if x.Gap != nil {
				text += fmt.Sprintf("[%d-%d]", x.Gap.FromTick, x.Gap.ToTick)
			} else {
				text += fmt.Sprintf("%d ", x.Tick)
			}
		}
		r.drop(len(all))
	}
}

func TestFullRingTurnsWhatDoesNotFitIntoOneGap(t *testing.T) {
	for name, r := range map[string]*ring{"slots": newRing(3, 1<<20), "bytes": newRing(100, 30)} {
		t.Run(name, func(t *testing.T) {
			for tick := uint64(1); tick <= 7; tick++ {
				r.add(d(tick, 1, 10))
			}
			r.drop(2)
			for tick := uint64(8); tick <= 9; tick++ {
				r.add(d(tick, 1, 1))
			}
			if got := content(r); got != "3 [4-7]8 [9-9]" && got != "3 [4-7]8 9 " && got != "3 [4-8]9 " {
				t.Errorf("published: %s", got)
			}
			if _, lost := r.len(); lost < 4 {
				t.Errorf("%d ticks counted as lost", lost)
			}
		})
	}
}

func TestRingLeavesOutWhatTheStreamHas(t *testing.T) {
	fill := func(r *ring) {
		for tick := uint64(5); tick <= 8; tick++ {
			r.add(d(tick, 2, 4))
		}
	}
	gap := func(r *ring, from, to uint64, reason string) {
		r.add(persistence.Delta{Tick: to, Epoch: 3, Part: 1, Parts: 1, Gap: &persistence.Gap{FromTick: from, ToTick: to, Reason: reason}})
	}
	part := d(6, 2, 4)
	part.Parts = 2
	void := persistence.Delta{Tick: 9, Epoch: 2, Part: 1, Parts: 1, Gap: &persistence.Gap{FromTick: 7, ToTick: 9, Reason: persistence.VoidReason}}
	for name, c := range map[string]struct {
		fill func(*ring)
		last persistence.Delta
		want string
	}{
		"nothing of it":                {fill, d(4, 2, 0), "5 6 7 8 "},
		"some of it":                   {fill, d(6, 2, 0), "7 8 "},
		"all of it":                    {fill, d(9, 2, 0), ""},
		"half of a tick":               {fill, part, "6 7 8 "},
		"the same ticks of a past":     {fill, d(8, 1, 0), "5 6 7 8 "},
		"a declaration that they void": {fill, void, "7 8 "},
		"part of a gap":                {func(r *ring) { gap(r, 3, 9, "slow") }, d(5, 2, 0), "[6-9]"},
		"a void gap stays":             {func(r *ring) { gap(r, 3, 9, persistence.VoidReason) }, d(9, 2, 0), "[3-9]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(16, 1<<20)
			c.fill(r)
			r.published(c.last)
			if got := content(r); got != c.want {
				t.Errorf("published: %q, want %q", got, c.want)
			}
		})
	}
}

func TestClearedRingIsEmptyAndKeepsNoBytes(t *testing.T) {
	r := newRing(4, 100)
	for tick := uint64(1); tick <= 9; tick++ {
		r.add(d(tick, 1, 20))
	}
	r.clear()
	if n, _ := r.len(); n != 0 || r.bytes != 0 || content(r) != "" {
		t.Errorf("%d entries, %d bytes", n, r.bytes)
	}
	for tick := uint64(1); tick <= 3; tick++ {
		r.add(d(tick, 1, 20))
	}
	if got := content(r); got != "1 2 3 " {
		t.Errorf("after clear: %s", got)
	}
}
