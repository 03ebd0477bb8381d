package replication

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestASentLogKeepsTheLastPackets: it has the last sentPackets packets with their blocks, however many those are, and no others; its ring
// is at most twice as long as they need.
func TestASentLogKeepsTheLastPackets(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var l sentLog
		most := 0
		for range 3 { // streams
			l.reset()
			var model [][]sentBlock // by seq - 1
			crowded := rng.IntN(40) + 1
			for seq := uint64(1); seq <= uint64(rng.IntN(5*sentPackets)); seq++ {
				p := l.open(seq, 10*seq)
				var blocks []sentBlock
				for range rng.IntN(crowded) {
					b := sentBlock{version: rng.Uint64(), sub: uint16(seq)}
					l.add(p, b)
					blocks = append(blocks, b)
				}
				model = append(model, blocks)
				kept := 0
				for s := uint64(1); s <= seq+1; s++ {
					p := l.packet(s)
					if lives := s <= seq && s+sentPackets > seq; (p != nil) != lives {
						t.Fatalf("seed %d: packet %d of %d is known: %v", seed, s, seq, p != nil)
					} else if !lives {
						continue
					}
					var got []sentBlock
					l.each(p, func(b sentBlock) { got = append(got, b) })
					if !slices.Equal(got, model[s-1]) || p.tick != 10*s {
						t.Fatalf("seed %d: packet %d of %d has the blocks %v, want %v", seed, s, seq, got, model[s-1])
					}
					kept += len(got)
				}
				most = max(most, kept)
			}
		}
		if len(l.blocks) > max(leastBlocks, 2*most) {
			t.Errorf("seed %d: a ring of %d for at most %d blocks", seed, len(l.blocks), most)
		}
	}
	if new(sentLog).packet(0) != nil || new(sentLog).packet(sentPackets) != nil {
		t.Error("an empty log knows a packet")
	}
}
