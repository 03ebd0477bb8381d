package replication

import (
	"encoding/binary"
	"errors"
)

// ackWindow is how many packets before the newest an acknowledgement covers.
const ackWindow = 64

// acks collects the numbers of packets that arrived.
type acks struct {
	last uint64 // the greatest number
	mask uint64 // bit i: last-1-i arrived too
}

func (a *acks) add(seq uint64) {
	switch {
	case seq > a.last:
		shift := seq - a.last
		if a.mask <<= shift; shift > 64 {
			a.mask = 0
		}
		if a.last > 0 && shift <= 64 {
			a.mask |= 1 << (shift - 1)
		}
		a.last = seq
	case seq < a.last && a.last-seq <= ackWindow:
		a.mask |= 1 << (a.last - seq - 1)
	}
}

// each yields the numbers, greatest first.
func (a acks) each(yield func(uint64) bool) {
	if a.last == 0 || !yield(a.last) {
		return
	}
	for i := range uint64(ackWindow) {
		if a.mask>>i&1 == 1 && a.last > i+1 && !yield(a.last-1-i) {
			return
		}
	}
}

// appendAck writes FORMAT.md's "Acknowledgement".
func appendAck(b []byte, epoch, stream uint64, a acks) []byte {
	b = append(b, CodecBits)
	b = binary.AppendUvarint(b, epoch)
	b = binary.AppendUvarint(b, stream)
	b = binary.AppendUvarint(b, a.last)
	return binary.LittleEndian.AppendUint64(b, a.mask)
}

func parseAck(b []byte) (epoch, stream uint64, a acks, err error) {
	p := parser{b: b}
	if v := p.byte(); p.err == nil && v != CodecBits {
		p.fail(errors.New("replication: acknowledgement with an unknown version"))
	}
	epoch, stream, a.last = p.uint(anyUint), p.uint(anyUint), p.uint(anyUint>>1)
	if p.err == nil && len(p.b) != 8 {
		p.fail(errors.New("replication: acknowledgement with a wrong length"))
	}
	if p.err != nil {
		return 0, 0, acks{}, p.err
	}
	a.mask = binary.LittleEndian.Uint64(p.b)
	return epoch, stream, a, nil
}
