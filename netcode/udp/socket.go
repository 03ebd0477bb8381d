// Package udp is one UDP socket, read and written in batches. On Linux a batch
// is one system call (recvmmsg, sendmmsg); elsewhere it is a loop.
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

// batchSize is how many packets one system call carries at most.
const batchSize = 64

// bufferBytes is what is asked of the system for each direction: at 2,000
// sessions and 30 ticks per second some 50 ms of packets.
const bufferBytes = 4 << 20

// batcher is what ipv4.PacketConn and ipv6.PacketConn have in common.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// Socket is a UDP socket. Read has one caller, Queue and Flush have one caller;
// the two, Wake and Close may run concurrently.
type Socket struct {
	conn  *net.UDPConn
	batch batcher
	in    []ipv4.Message
	out   []ipv4.Message
	held  int // packets in out

	dropped atomic.Uint64
}

// Listen opens a socket on address, as net.ListenPacket for "udp" takes it;
// port 0 picks one.
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

// Addr is the address that the socket is bound to.
func (s *Socket) Addr() *net.UDPAddr { return s.conn.LocalAddr().(*net.UDPAddr) }

// Close ends a waiting Read with net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }

// SetDeadline lets a waiting or later Read end at t with a time-out.
func (s *Socket) SetDeadline(t time.Time) { _ = s.conn.SetReadDeadline(t) }

// Read waits for packets and hands each to handle; packet is valid only inside
// the call, from may be kept. Packets longer than frame.MaxPacket are dropped.
// It returns after one batch.
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

// Queue adds a copy of packet (at most frame.MaxPacket bytes) to the batch
// that Flush sends; a full batch is sent at once.
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

// Flush sends what is queued. A packet that the system refuses is dropped and
// counted: UDP promises no more.
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

// Dropped counts packets that were too long or that the system refused.
func (s *Socket) Dropped() uint64 { return s.dropped.Load() }
