package netcode

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/ferris1/wind/netcode/frame"
)

// Times of a TCP connection.
const (
	tcpWriteTimeout = 10 * time.Second // for one write; up to tcpRearm less
	tcpRearm        = time.Second      // how often the deadline moves: setting it is costly
	tcpReadBytes    = 16 << 10
)

// tcpConn is one TCP connection or WebSocket, with a goroutine that reads and one
// that writes.
type tcpConn struct {
	server *Server
	conn   streamConn
	link   *link
	in     inbound
	news   chan struct{} // the link has something to send, or is closed
	said   chan struct{} // closed when the writer has ended
}

func newTCPConn(s *Server, conn streamConn) *tcpConn {
	return &tcpConn{server: s, conn: conn, news: make(chan struct{}, 1), said: make(chan struct{})}
}

// takeBytes counts bytes that arrived on the wire. It returns an error beyond the
// rate.
func (c *tcpConn) takeBytes(n int) error {
	if c.link == nil {
		return nil // not open yet: bytes that followed the HTTP request
	}
	c.link.bytesIn.Add(uint64(n))
	if !c.in.bytes.take(n, c.server.clock()) {
		return c.in.bytes.tooMuch("bytes")
	}
	return nil
}

// takeFrame counts a ping, pong or empty message as a frame. It returns an error
// beyond the rate.
func (c *tcpConn) takeFrame() error {
	if !c.in.frames.take(1, c.server.clock()) {
		return c.in.frames.tooMuch("frames")
	}
	return nil
}

// streamConn is what a tcpConn needs from its transport.
type streamConn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// accept accepts TCP connections until the listener closes.
func (s *Server) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			if s.isClosed() {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		c := newTCPConn(s, conn)
		addr, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if !c.open(addr) {
			conn.Close()
		}
	}
}

// open registers the connection and starts its goroutines. It returns false when
// the hub has no room for it.
func (c *tcpConn) open(addr netip.AddrPort) bool {
	s := c.server
	s.lock()
	defer s.mu.Unlock()
	c.in = newInbound(&s.cfg, s.hub.now)
	if !s.closed {
		c.link = s.hub.open(addr, cameTCP, c.wake)
	}
	if c.link == nil {
		return false
	}
	s.group.Go(c.read)
	s.group.Go(c.write)
	return true
}

// wake tells the writer that the link has changed. The caller holds the server's
// lock.
func (c *tcpConn) wake() {
	if c.link != nil && c.link.state == linkClosed {
		_ = c.conn.SetWriteDeadline(time.Now().Add(lingerFor)) // for a peer that does not read
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// read handles what arrives until the connection ends, then closes it.
func (c *tcpConn) read() {
	defer c.conn.Close()
	s := c.server
	buffer := make([]byte, tcpReadBytes)
	ws, _ := c.conn.(*wsConn)
	open, drained := true, 0
	for {
		n, err := c.conn.Read(buffer)
		now := s.clock()
		if ws == nil && n > 0 && open { // a WebSocket's tap has already counted them
			if over := c.takeBytes(n); over != nil {
				n, err = 0, over
			}
		}
		var end *endError
		switch {
		case !open:
			// Drain what the peer still sends: a socket that is closed with
			// unread data resets the connection, and the peer loses the Bye.
			if drained += n; drained > maxDrain {
				err = errDrained
			}
		case errors.As(err, &end):
			s.lock()
			s.hub.close(c.link, end.reason, end.text)
			s.mu.Unlock()
			open, err = false, nil
		default:
			c.in.reader.Feed(buffer[:n])
			open = s.frames(c.link, &c.in, now)
		}
		if !open {
			c.in.ended()
		}
		if !open && ws != nil {
			<-c.said // the writer keeps reading until the client closes too
			return
		}
		if err != nil {
			s.lock()
			s.hub.lost(c.link)
			s.hub.tally(c.link)
			s.mu.Unlock()
			c.in.ended()
			return
		}
	}
}

// write sends what the link collects until it is closed; then the reader has
// lingerFor to end.
func (c *tcpConn) write() {
	defer close(c.said)
	s := c.server
	var taken []byte
	var armed time.Time // when the deadline was set
	for range c.news {
		s.mu.Lock()
		taken, c.link.out = c.link.out, taken[:0]
		c.link.waiting.Store(int64(len(taken)))
		ends, single := c.link.state == linkClosed, c.link.single
		switch now := time.Now(); {
		case ends: // counts from now, not from the wake-up
			_ = c.conn.SetWriteDeadline(now.Add(lingerFor))
		case now.Sub(armed) > tcpRearm:
			armed = now
			_ = c.conn.SetWriteDeadline(now.Add(tcpWriteTimeout))
		}
		s.mu.Unlock()
		if len(taken) > 0 {
			n, err := c.send(taken, single)
			c.link.bytesOut.Add(uint64(n))
			c.link.waiting.Store(0)
			if err != nil {
				s.lock()
				s.hub.lost(c.link)
				s.mu.Unlock()
				ends = true
			}
		}
		if ends {
			_ = c.conn.SetReadDeadline(time.Now().Add(lingerFor))
			if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return
		}
	}
}

// send writes frames. With single, each frame is one write.
func (c *tcpConn) send(frames []byte, single bool) (sent int, err error) {
	for len(frames) > 0 && err == nil {
		piece := frames
		if single {
			piece = frames[:frame.HeaderSize+int(binary.LittleEndian.Uint32(frames[4:]))]
		}
		var n int
		n, err = c.conn.Write(piece)
		sent += n
		frames = frames[len(piece):]
	}
	return sent, err
}
