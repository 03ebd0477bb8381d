package client

import (
	"encoding/binary"

	"github.com/xtaci/kcp-go/v5"

	"github.com/ferris1/wind/netcode/lane"
)

// Redundancy says how often a client sends its inputs over UDP. The reliable lane
// carries each of them, but after a lost packet everything behind it waits for the
// repeat, which is too long for an input.
type Redundancy uint8

const (
	// RedundancyAuto also sends inputs on the datagram lane while the reliable
	// lane loses packets. With heavy loss it repeats those of the tick before.
	RedundancyAuto Redundancy = iota
	// RedundancyOff sends each input once.
	RedundancyOff
	// RedundancyAlways sends each input on both lanes.
	RedundancyAlways
)

// losses estimates the packet loss towards the server from the segments that KCP
// repeats, and decides how many ticks' inputs a datagram should carry. It is pure:
// packets come in through sent.
type losses struct {
	any         bool
	newest      uint32  // number of the newest segment
	once, again float64 // decaying counts of new segments and of repeats
	ticks       int     // how many ticks' inputs a datagram carries
}

// Constants of the measurement.
const (
	lossMemory = 200 // decay, in segments: some seconds of inputs
	lossPrior  = 50  // segments that count as arrived before the first one
	// Shares of repeats from which a datagram carries the inputs of one tick and
	// of two, and below which it no longer does.
	oneAt, oneBelow = 0.008, 0.003
	twoAt, twoBelow = 0.10, 0.06
)

// sent counts the segments of an outgoing packet of the reliable lane.
func (l *losses) sent(packet []byte) {
	for len(packet) >= lane.Overhead {
		if packet[4] == kcp.IKCP_CMD_PUSH {
			l.segment(binary.LittleEndian.Uint32(packet[12:]))
		}
		length := uint64(binary.LittleEndian.Uint32(packet[20:]))
		if length > uint64(len(packet)-lane.Overhead) {
			return
		}
		packet = packet[lane.Overhead+int(length):]
	}
}

func (l *losses) segment(number uint32) {
	if l.any && int32(number-l.newest) <= 0 {
		l.again++
		l.decide()
		return
	}
	l.any, l.newest = true, number
	l.once = l.once*(1-1.0/lossMemory) + 1
	l.again *= 1 - 1.0/lossMemory
	l.decide()
}

// loss returns the share of segments that KCP repeated.
func (l *losses) loss() float64 { return l.again / max(l.once, lossPrior) }

func (l *losses) decide() {
	p := l.loss()
	switch {
	case p >= twoAt || l.ticks == 2 && p >= twoBelow:
		l.ticks = 2
	case p >= oneAt || l.ticks > 0 && p >= oneBelow:
		l.ticks = 1
	default:
		l.ticks = 0
	}
}

// want returns how many ticks' inputs a datagram should carry; 0 means no datagram.
func (l *losses) want(r Redundancy) int {
	switch r {
	case RedundancyOff:
		return 0
	case RedundancyAlways:
		return max(l.ticks, 1)
	}
	return l.ticks
}
