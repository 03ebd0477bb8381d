// Package lane runs a KCP core as a byte stream: the reliable lane of the UDP
// socket. A lane starts no goroutine and reads no socket. Its owner feeds it
// packets, and calls Update while it is Busy.
//
// A kcp-go core costs 16-19 KiB, while kcp-go's UDPSession costs 265 KiB and two
// goroutines. Of the settings below, PROTOCOL.md prescribes only those that the
// peer can see (window, packet size); a stock kcp-go client works with its own.
package lane

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/xtaci/kcp-go/v5"

	"github.com/ferris1/wind/netcode/frame"
)

const (
	// Interval is how long, in milliseconds, a lane may delay acknowledgements,
	// and how often it needs Update while it is Busy.
	Interval = 10
	// Overhead is the length of a KCP segment's header.
	Overhead = kcp.IKCP_OVERHEAD
	// sendWindow and receiveWindow are in segments. receiveWindow bounds what a
	// peer can make a lane buffer: 64 segments of at most 1,476 bytes.
	sendWindow    = 256
	receiveWindow = 64
	// segmentBytes is how many bytes one segment carries.
	segmentBytes = frame.MTU - Overhead
	// ScratchSize is the length of the buffer that Read needs: a whole receive
	// window, since a hostile peer may send one as a single message.
	ScratchSize = receiveWindow * frame.MaxPacket
)

// Lane is one reliable stream in each direction. Not for concurrent use.
type Lane struct {
	core   *kcp.KCP
	conv   uint32
	unsent []byte // less than a segment; waits for Update
	owed   int    // Updates still needed because the core may owe the peer an answer
}

// New returns a lane for the conversation conv, which must not be 0. output sends
// one packet and must not keep it. Only Input and Update call it.
func New(conv uint32, output func(packet []byte)) *Lane {
	l := &Lane{conv: conv}
	l.core = kcp.NewKCP(conv, func(b []byte, n int) {
		if n >= Overhead {
			l.owed = 0 // acknowledgements leave first
			output(b[:n])
		}
	})
	l.core.SetMtu(frame.MTU)
	l.core.WndSize(sendWindow, receiveWindow)
	// No delay, flush at most every Interval, resend after two skipped
	// acknowledgements, no congestion window: small messages, in time.
	l.core.NoDelay(1, Interval, 2, 1)
	return l
}

// Conv returns the conversation id.
func (l *Lane) Conv() uint32 { return l.conv }

// ErrDamaged means that a packet is not a KCP packet of this conversation.
var ErrDamaged = errors.New("lane: a damaged packet")

// FragmentsError reports a message that can never be reassembled: it has more
// fragments than the receive window has segments.
type FragmentsError struct{ Fragments int }

// Error implements error.
func (e *FragmentsError) Error() string {
	return fmt.Sprintf("a KCP message of %d fragments does not fit into the receive window of %d: send smaller messages, or in stream mode", e.Fragments, receiveWindow)
}

// Input handles one packet of this conversation. Its error is ErrDamaged, or a
// *FragmentsError, after which the conversation is stuck.
func (l *Lane) Input(packet []byte) error {
	if len(packet) > frame.MaxPacket {
		return ErrDamaged
	}
	wants, fragments := look(packet)
	if fragments > receiveWindow {
		return &FragmentsError{fragments}
	}
	if wants {
		// The core flushes at most once per Interval. So the first Update may
		// be too early and the second is not; the third covers rounding. The
		// core never answers a segment outside the window.
		l.owed = 3
	}
	if l.core.Input(packet, kcp.IKCP_PACKET_REGULAR, false) != 0 {
		return ErrDamaged
	}
	return nil
}

// WantsAnswer reports whether packet contains a segment that KCP answers.
func WantsAnswer(packet []byte) bool {
	wants, _ := look(packet)
	return wants
}

// look reports whether packet contains a segment that KCP answers, and how many
// fragments the longest message among its segments still has.
func look(packet []byte) (wants bool, fragments int) {
	for len(packet) >= Overhead {
		switch packet[4] {
		case kcp.IKCP_CMD_PUSH:
			wants, fragments = true, max(fragments, int(packet[5])+1)
		case kcp.IKCP_CMD_WASK:
			wants = true
		}
		length := uint64(binary.LittleEndian.Uint32(packet[20:]))
		if length > uint64(len(packet)-Overhead) {
			return wants, fragments
		}
		packet = packet[Overhead+int(length):]
	}
	return wants, fragments
}

// Read passes the bytes that have arrived in order to feed, piece by piece. The
// pieces lie in scratch (ScratchSize bytes) and are valid only inside the call.
// feed returns false to stop.
func (l *Lane) Read(scratch []byte, feed func([]byte) bool) {
	for {
		n := l.core.Recv(scratch)
		if n < 0 || !feed(scratch[:n]) {
			return
		}
	}
}

// Write copies b and queues it for the peer. Small writes share segments. Nothing
// leaves before Update.
func (l *Lane) Write(b []byte) {
	for len(b) > 0 {
		if len(l.unsent) == 0 && len(b) >= segmentBytes {
			l.core.Send(b[:segmentBytes])
			b = b[segmentBytes:]
			continue
		}
		n := min(segmentBytes-len(l.unsent), len(b))
		l.unsent = append(l.unsent, b[:n]...)
		b = b[n:]
		if len(l.unsent) == segmentBytes {
			l.core.Send(l.unsent)
			l.unsent = l.unsent[:0]
		}
	}
}

// Update sends what is due: new data, acknowledgements and repeats. New data leaves
// at once if the last Update that had something to do was at least Interval ago,
// otherwise on a later call.
func (l *Lane) Update() {
	if len(l.unsent) > 0 {
		l.core.Send(l.unsent)
		l.unsent = l.unsent[:0]
	}
	l.core.Update()
	if l.owed > 0 {
		l.owed--
	}
}

// Busy reports whether the lane needs Update every Interval because something is
// unacknowledged or unanswered. An idle lane needs no calls.
func (l *Lane) Busy() bool { return l.owed > 0 || l.Waiting() > 0 }

// Waiting returns the number of segments that the peer has not acknowledged.
func (l *Lane) Waiting() int {
	n := l.core.WaitSnd()
	if len(l.unsent) > 0 {
		n++
	}
	return n
}

// Opening examines the first packet of an unknown conversation and keeps nothing.
// If the packet begins with the conversation's first data segment, unfragmented,
// it returns the stream's first bytes; no other packet may open a conversation.
// data aliases packet.
func Opening(packet []byte) (conv uint32, data []byte, ok bool) {
	if len(packet) <= Overhead || len(packet) > frame.MaxPacket {
		return 0, nil, false
	}
	conv = binary.LittleEndian.Uint32(packet)
	length := binary.LittleEndian.Uint32(packet[20:])
	sn := binary.LittleEndian.Uint32(packet[12:])
	ok = conv != 0 && packet[4] == kcp.IKCP_CMD_PUSH && packet[5] == 0 && sn == 0 &&
		length > 0 && uint64(length) <= uint64(len(packet)-Overhead)
	if !ok {
		return conv, nil, false
	}
	return conv, packet[Overhead : Overhead+int(length)], true
}
