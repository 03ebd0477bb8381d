package client

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/xtaci/kcp-go/v5"

	"github.com/ferris1/wind/netcode/lane"
)

// push returns a packet of one data segment.
func push(number uint32) []byte {
	b := make([]byte, lane.Overhead)
	b[4] = kcp.IKCP_CMD_PUSH
	binary.LittleEndian.PutUint32(b[12:], number)
	return b
}

// over sends n segments over a link that loses a share of them, and repeats each until it arrives.
func over(l *losses, rng *rand.Rand, n int, loss float64) {
	first := l.newest + 1
	for i := range uint32(n) {
		for l.sent(push(first + i)); rng.Float64() < loss; {
			l.sent(push(first + i))
		}
	}
}

func TestRedundancyFollowsTheLoss(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 16))
		var l losses
		for _, c := range []struct {
			what string
			n    int
			loss float64
			want int
		}{
			{"a way without losses", 2000, 0, 0},
			{"5 % lost", 600, 0.05, 1},
			{"30 % lost", 600, 0.30, 2},
			{"5 % again", 3000, 0.05, 1},
			{"none any more", 1500, 0, 0},
		} {
			if over(&l, rng, c.n, c.loss); l.want(RedundancyAuto) != c.want {
				t.Errorf("seed %d, %s: a datagram carries %d ticks at a measured loss of %.3f, want %d", seed, c.what, l.want(RedundancyAuto), l.loss(), c.want)
			}
		}
		if l.want(RedundancyOff) != 0 || l.want(RedundancyAlways) != 1 {
			t.Errorf("off sends %d, always %d", l.want(RedundancyOff), l.want(RedundancyAlways))
		}
	}
}

// TestOneRepeatIsNoLoss: KCP sometimes repeats a segment that was only late.
func TestOneRepeatIsNoLoss(t *testing.T) {
	var l losses
	for i := range uint32(500) {
		l.sent(push(i))
	}
	if l.sent(push(499)); l.want(RedundancyAuto) != 0 {
		t.Errorf("one repeat in 500 segments: %.4f", l.loss())
	}
}

func TestMeasuringReadsWholePacketsAndNoFurther(t *testing.T) {
	var l losses
	two := append(push(1), push(2)...)
	binary.LittleEndian.PutUint32(two[20:], 0)
	l.sent(two)
	if l.newest != 2 || l.again != 0 {
		t.Errorf("newest %d, %v repeats", l.newest, l.again)
	}
	short := push(3)
	binary.LittleEndian.PutUint32(short[20:], 1<<31)
	l.sent(short)
	l.sent(short[:10])
	if l.newest != 3 {
		t.Errorf("newest %d", l.newest)
	}
}
