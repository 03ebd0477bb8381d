// Package udp implements a UDP socket that reads and writes in batches. On Linux a
// batch is one system call (recvmmsg, sendmmsg); elsewhere it is a loop.
package udp

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ferris1/wind/netcode/frame"
)

// batchSize is the most packets that one system call carries.
const batchSize = 64

// bufferBytes is the buffer requested from the system for each direction: at 2,000
// sessions and 30 ticks per second it holds some 50 ms of packets.
const bufferBytes = 4 << 20

// batcher is implemented by ipv4.PacketConn and ipv6.PacketConn.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// Socket is a UDP socket. One goroutine may call Read while another calls Queue
// and Flush. Any goroutine may call SetDeadline and Close.
type Socket struct {
	conn  *net.UDPConn
	batch batcher
	in    []ipv4.Message
	out   []ipv4.Message
	held  int // packets in out

	dropped atomic.Uint64
}

// Listen opens a socket on address, in the form that net.ListenPacket takes for
// "udp"; port 0 picks a free one.
func Listen(address string) (*Socket, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	_ = conn.SetReadBuffer(bufferBytes) // as much as the system grants
	_ = conn.SetWriteBuffer(bufferBytes)
	s := &Socket{conn: conn, in: messages(frame.MaxPacket + 1), out: messages(frame.MaxPacket)}
	if local := conn.LocalAddr().(*net.UDPAddr); local.IP.To4() != nil {
		s.batch = ipv4.NewPacketConn(conn)
	} else {
		s.batch = ipv6.NewPacketConn(conn)
	}
	return s, nil
}

func messages(size int) []ipv4.Message {
	ms := make([]ipv4.Message, batchSize)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, size)}
	}
	return ms
}

// Addr returns the address that the socket is bound to.
func (s *Socket) Addr() *net.UDPAddr { return s.conn.LocalAddr().(*net.UDPAddr) }

// Close closes the socket. A waiting Read returns net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }

// SetDeadline makes a waiting or later Read time out at t.
func (s *Socket) SetDeadline(t time.Time) { _ = s.conn.SetReadDeadline(t) }

// Read waits for one batch of packets and passes each to handle, which may keep
// from; packet is valid only inside the call. Read drops packets longer than
// frame.MaxPacket.
func (s *Socket) Read(handle func(from *net.UDPAddr, packet []byte)) error {
	n, err := s.read(s.in)
	if err != nil {
		return err
	}
	for i := range s.in[:n] {
		m := &s.in[i]
		from, ok := m.Addr.(*net.UDPAddr)
		if !ok || m.N > frame.MaxPacket {
			s.dropped.Add(1)
			continue
		}
		handle(from, m.Buffers[0][:m.N])
	}
	return nil
}

// Queue adds a copy of packet to the batch that Flush sends, and sends a full batch
// at once. It drops a packet longer than frame.MaxPacket.
func (s *Socket) Queue(to *net.UDPAddr, packet []byte) {
	if len(packet) > frame.MaxPacket {
		s.dropped.Add(1)
		return
	}
	m := &s.out[s.held]
	m.Buffers[0] = append(m.Buffers[0][:0], packet...)
	m.Addr = to
	s.held++
	if s.held == len(s.out) {
		s.Flush()
	}
}

// Flush sends the queued packets. It drops and counts a packet that the system
// refuses: UDP promises no more.
func (s *Socket) Flush() {
	for rest := s.out[:s.held]; len(rest) > 0; {
		n, err := s.write(rest)
		if err != nil && n <= 0 {
			s.dropped.Add(1)
			n = 1
		}
		rest = rest[n:]
	}
	s.held = 0
}

// Dropped returns how many packets were too long or refused by the system.
func (s *Socket) Dropped() uint64 { return s.dropped.Load() }
