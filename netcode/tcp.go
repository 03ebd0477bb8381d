package netcode

import (
	"context"
	"crypto/tls"
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
	door *Door
	raw  streamConn
	conn *Conn
	in   inbound
	news chan struct{} // conn has something to send, or has ended
	said chan struct{} // closed when the writer has ended
}

func newTCPConn(d *Door, raw streamConn) *tcpConn {
	return &tcpConn{door: d, raw: raw, news: make(chan struct{}, 1), said: make(chan struct{})}
}

// takeBytes counts bytes that arrived on the wire. It returns an error beyond the
// rate.
func (c *tcpConn) takeBytes(n int) error {
	if c.conn == nil {
		return nil // not open yet: bytes that followed the HTTP request
	}
	c.conn.bytesIn.Add(uint64(n))
	if !c.in.bytes.Take(n, c.door.clock()) {
		return tooMuch(&c.in.bytes, "bytes")
	}
	return nil
}

// takeFrame counts a ping, pong or empty message as a frame. It returns an error
// beyond the rate.
func (c *tcpConn) takeFrame() error {
	if !c.in.frames.Take(1, c.door.clock()) {
		return tooMuch(&c.in.frames, "frames")
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
func (d *Door) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			if d.isClosed() {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		addr, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if d.cfg.TLS != nil {
			conn = tls.Server(conn, d.cfg.TLS)
		}
		c := newTCPConn(d, conn)
		if !c.open(addr) {
			conn.Close()
		}
	}
}

// open registers the connection and starts its goroutines. It returns false when
// the door has no room for it.
func (c *tcpConn) open(addr netip.AddrPort) bool {
	d := c.door
	c.in = newInbound(&d.cfg, d.clock())
	if !d.enters() {
		return false
	}
	defer d.group.Done()
	if c.conn = d.open(addr, cameTCP, nil, c.wake); c.conn == nil {
		return false
	}
	d.group.Go(c.read)
	d.group.Go(c.write)
	return true
}

// wake tells the writer that the connection has something to send, or has ended.
func (c *tcpConn) wake(closed bool) {
	if closed {
		_ = c.raw.SetWriteDeadline(time.Now().Add(lingerFor)) // for a peer that does not read
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// read handles what arrives until the connection ends, then closes it.
func (c *tcpConn) read() {
	defer c.raw.Close()
	d := c.door
	if err := c.shake(); err != nil {
		c.lost()
		return
	}
	buffer := make([]byte, tcpReadBytes)
	ws, _ := c.raw.(*wsConn)
	open, drained := true, 0
	for {
		n, err := c.raw.Read(buffer)
		now := d.clock()
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
			c.conn.Close(end.reason, end.text)
			open, err = false, nil
		default:
			c.in.reader.Feed(buffer[:n])
			open = d.frames(c.conn, &c.in, now)
		}
		if !open {
			c.in.ended()
		}
		if !open && ws != nil {
			<-c.said // the writer keeps reading until the client closes too
			return
		}
		if err != nil {
			c.lost()
			return
		}
	}
}

// shake is TLS's handshake, if there is one.
func (c *tcpConn) shake() error {
	t, ok := c.raw.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.door.cfg.HandshakeTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// lost ends the connection after an error.
func (c *tcpConn) lost() {
	c.conn.lost()
	c.door.mu.Lock()
	c.door.tally(c.conn)
	c.door.mu.Unlock()
	c.in.ended()
}

// write sends what the connection collects until it has ended; then the reader has
// lingerFor to end.
func (c *tcpConn) write() {
	defer close(c.said)
	var taken []byte
	var armed time.Time // when the deadline was set
	for range c.news {
		c.conn.mu.Lock()
		taken, c.conn.out = c.conn.out, taken[:0]
		c.conn.waiting.Store(int64(len(taken)))
		ends, single := c.conn.closed.Load(), c.conn.single
		c.conn.mu.Unlock()
		switch now := time.Now(); {
		case ends: // counts from now, not from the wake-up
			_ = c.raw.SetWriteDeadline(now.Add(lingerFor))
		case now.Sub(armed) > tcpRearm:
			armed = now
			_ = c.raw.SetWriteDeadline(now.Add(tcpWriteTimeout))
			if c.conn.closed.Load() { // since then: wake has set a nearer deadline
				_ = c.raw.SetWriteDeadline(now.Add(lingerFor))
			}
		}
		if len(taken) > 0 {
			n, err := c.send(taken, single)
			c.conn.bytesOut.Add(uint64(n))
			c.conn.waiting.Store(0)
			if err != nil {
				c.conn.lost()
				ends = true
			}
		}
		if ends {
			_ = c.raw.SetReadDeadline(time.Now().Add(lingerFor))
			if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
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
		n, err = c.raw.Write(piece)
		sent += n
		frames = frames[len(piece):]
	}
	return sent, err
}
