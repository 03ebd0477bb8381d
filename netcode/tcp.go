package netcode

import (
	"net"
	"net/netip"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
)

// Times of a TCP connection.
const (
	tcpWriteTimeout = 10 * time.Second // for one piece of the backlog
	tcpReadBytes    = 16 << 10
)

// tcpConn is one TCP connection: a goroutine that reads and one that writes.
type tcpConn struct {
	server *Server
	conn   net.Conn
	link   *link
	limits limiter
	news   chan struct{} // the link has something to send, or is closed
}

// accept takes TCP connections until the listener closes.
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
		c := &tcpConn{server: s, conn: conn, news: make(chan struct{}, 1)}
		s.lock()
		c.limits = newLimiter(&s.cfg, s.hub.now)
		if !s.closed {
			addr, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
			c.link = s.hub.open(addr, cameTCP, c.wake)
		}
		if c.link != nil {
			s.group.Go(c.read)
			s.group.Go(c.write)
		}
		s.mu.Unlock()
		if c.link == nil {
			conn.Close()
		}
	}
}

// wake tells the writer that there is news. The caller holds the server's
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

// read takes what comes until the connection ends, and closes it.
func (c *tcpConn) read() {
	defer c.conn.Close()
	s := c.server
	buffer := make([]byte, tcpReadBytes)
	open := true
	for {
		n, err := c.conn.Read(buffer)
		now := s.clock()
		c.link.bytesIn.Add(uint64(n))
		switch {
		case !open:
			// What is left unread when a connection closes would take the Bye
			// with it on its way to the peer.
		case n > 0 && !c.limits.bytes.take(n, now):
			s.lock()
			s.hub.close(c.link, wirepb.Reason_REASON_TOO_MUCH, "too many bytes per second")
			s.mu.Unlock()
			open = false
		default:
			c.limits.reader.Feed(buffer[:n])
			open = s.frames(c.link, &c.limits, now)
		}
		if err != nil {
			s.lock()
			s.hub.lost(c.link)
			s.hub.tally(c.link)
			s.mu.Unlock()
			return
		}
	}
}

// write sends what the link collects until it is closed; then the reader has
// lingerFor to end.
func (c *tcpConn) write() {
	s := c.server
	var taken []byte
	for range c.news {
		s.lock()
		taken, c.link.out = c.link.out, taken[:0]
		c.link.waiting = len(taken)
		ends := c.link.state == linkClosed
		if !ends {
			_ = c.conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout))
		}
		s.mu.Unlock()
		if len(taken) > 0 {
			n, err := c.conn.Write(taken)
			c.link.bytesOut.Add(uint64(n))
			s.lock()
			c.link.waiting = 0
			if err != nil {
				s.hub.lost(c.link)
				ends = true
			}
			s.mu.Unlock()
		}
		if ends {
			if half, ok := c.conn.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			_ = c.conn.SetReadDeadline(time.Now().Add(lingerFor))
			return
		}
	}
}
