package client

import (
	"context"
	"errors"
	"net"
	"time"
)

// overStream runs the session over TCP or a WebSocket, with a goroutine that reads
// and one that writes.
func (c *RPC) overStream(ctx context.Context) error {
	conn, err := dialStream(ctx, c.cfg.Transport, c.cfg.Addr, c.cfg.TLS)
	if err != nil {
		return err
	}
	news := make(chan struct{}, 1)
	c.wake = func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	c.hello(nil)
	c.wake()
	c.group.Go(func() { c.read(conn) })
	c.group.Go(func() { c.write(conn, news) })
	go func() {
		c.group.Wait()
		c.ended()
	}()
	return nil
}

func (c *RPC) read(conn net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if bad := c.stream(buffer[:n]); bad != nil {
				err = bad
			}
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// write sends the queued frames until the session is over, then closes the
// connection.
func (c *RPC) write(conn net.Conn, news <-chan struct{}) {
	defer conn.Close()
	beat := time.NewTicker(rpcPingEvery)
	defer beat.Stop()
	var taken []byte
	for {
		select {
		case <-news:
		case now := <-beat.C:
			if err := c.beat(now); err != nil {
				c.end(err)
			}
			continue
		}
		c.mu.Lock()
		taken, c.out = c.out, taken[:0]
		over := c.err
		c.mu.Unlock()
		if over != nil && !errors.Is(over, ErrClosed) {
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout))
		if over != nil {
			_ = conn.SetWriteDeadline(time.Now().Add(leaveTimeout))
		}
		if _, err := conn.Write(taken); err != nil {
			c.end(err)
			return
		}
		if over != nil {
			return
		}
	}
}

// overKCP runs the session over UDP, with one goroutine.
func (c *RPC) overKCP(ctx context.Context) error {
	t, cookie, err := dialUDP(c.cfg.DialUDP, c.cfg.Addr, c, new(counters), ctx.Done())
	if err != nil {
		return err
	}
	c.hello(cookie)
	c.wake = t.wake
	go func() {
		c.end(c.drive(t))
		t.close()
		c.ended()
	}()
	return nil
}

func (c *RPC) drive(t *udpTransport) error {
	beat := time.Now().Add(rpcPingEvery)
	var taken []byte
	for {
		now := time.Now()
		if !now.Before(beat) {
			beat = now.Add(rpcPingEvery)
			if err := c.beat(now); err != nil {
				return err
			}
		}
		c.mu.Lock()
		taken, c.out = c.out, taken[:0]
		err := c.err
		c.mu.Unlock()
		if len(taken) > 0 {
			t.send(taken)
		}
		t.flush(now)
		if errors.Is(err, ErrClosed) {
			t.drain(now.Add(leaveTimeout))
		}
		if err != nil {
			return err
		}
		if err := t.wait(beat); err != nil {
			return err
		}
	}
}

// drain sends what is queued until the peer has acknowledged it, the connection has
// ended, or the deadline has passed.
func (t *udpTransport) drain(deadline time.Time) {
	for now := time.Now(); t.lane.Waiting() > 0 && now.Before(deadline); now = time.Now() {
		t.flush(now)
		if t.wait(deadline) != nil {
			return
		}
	}
}
