package client

import (
	"encoding/binary"

	"github.com/xtaci/kcp-go/v5"

	"github.com/ferris1/wind/netcode/lane"
)

// Redundancy says how often inputs leave a client over UDP. The reliable lane
// carries each of them; where it loses a packet, what follows waits for the
// repeat, for longer than an input has time.
type Redundancy uint8

const (
	// RedundancyAuto sends inputs on the datagram lane too while the reliable
	// lane loses packets, and with heavy losses those of the tick before once more.
	RedundancyAuto Redundancy = iota
	// RedundancyOff sends each input once.
	RedundancyOff
	// RedundancyAlways sends each input on both lanes.
	RedundancyAlways
)

// losses measures what the way to the server loses, from what KCP sends again,
// and says how many ticks' inputs a datagram should carry. Pure: packets come
// in through sent.
type losses struct {
	any         bool
	newest      uint32  // number of the newest segment
	once, again float64 // segments, and those that were repeats; old ones fade
	ticks       int     // of inputs in a datagram
}

// Constants of the measurement.
const (
	lossMemory = 200 // segments: some seconds of inputs
	lossPrior  = 50  // segments that are taken to have arrived before the first
	// Shares of repeats at which a datagram carries the inputs of one tick and of
	// two, and below which it goes back.
	oneAt, oneBelow = 0.008, 0.003
	twoAt, twoBelow = 0.10, 0.06
)

// sent takes a packet of the reliable lane on its way out.
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

// loss is the share of segments that were sent again.
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

// want is how many ticks' inputs a datagram carries; 0: none is sent.
func (l *losses) want(r Redundancy) int {
	switch r {
	case RedundancyOff:
		return 0
	case RedundancyAlways:
		return max(l.ticks, 1)
	}
	return l.ticks
}
