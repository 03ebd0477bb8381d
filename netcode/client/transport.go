package client

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/lane"
)

// Errors of a connection that ended without a Bye.
var (
	errGone = errors.New("the connection is lost")
	errMute = errors.New("the server does not answer")
)

// transport is a connection to a server. Only the client's goroutine calls its
// methods, except wake.
type transport interface {
	// send queues frames; flush sends them.
	send(frames []byte)
	// datagram sends a message on the datagram lane. It returns false if there
	// is no such lane or the message is too long for it.
	datagram(id uint16, session uint64, message []byte) bool
	// lost returns the measured packet loss.
	lost() *losses
	flush(now time.Time)
	// wait returns when something has arrived, at deadline, or after wake. An
	// error ends the connection.
	wait(deadline time.Time) error
	wake()
	close()
}

// receiver handles what arrives on a transport.
type receiver interface {
	stream(b []byte) error                             // bytes of the reliable lane
	message(id uint16, session uint64, payload []byte) // one message of the datagram lane
}

// udpTransport is a KCP lane and the datagram lane over a UDP socket. It needs no
// goroutine of its own.
type udpTransport struct {
	conn    net.Conn
	to      receiver
	lane    *lane.Lane
	packet  []byte
	scratch []byte
	out     []byte
	swept   time.Time
	fresh   bool // data has been sent since the last Update
	woken   atomic.Bool
	losses  losses
	stats   *counters
}

// Times of the cookie exchange.
const (
	knockEvery = 150 * time.Millisecond
	knockTries = 10
)

// plainUDP is what opens sockets by default.
func plainUDP(address string) (net.Conn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func dialUDP(dial func(string) (net.Conn, error), address string, to receiver, stats *counters, stop <-chan struct{}) (*udpTransport, []byte, error) {
	if dial == nil {
		dial = plainUDP
	}
	conn, err := dial(address)
	if err != nil {
		return nil, nil, err
	}
	t := &udpTransport{conn: conn, to: to, packet: make([]byte, frame.MaxPacket+1), scratch: make([]byte, lane.ScratchSize), stats: stats}
	cookie, err := t.knock(stop)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	t.lane = lane.New(1+rand.Uint32N(1<<32-1), t.output)
	return t, cookie, nil
}

// knock requests a cookie, which proves our address, until one arrives.
func (t *udpTransport) knock(stop <-chan struct{}) ([]byte, error) {
	nonce := rand.Uint64()
	for range knockTries {
		select {
		case <-stop:
			return nil, errClosed
		default:
		}
		_, _ = t.conn.Write(frame.AppendKnock(nil, nonce))
		_ = t.conn.SetReadDeadline(time.Now().Add(knockEvery))
		for {
			n, err := t.conn.Read(t.packet)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			if kind, _, body, ok := frame.ParseDatagram(t.packet[:n]); ok && kind == frame.DatagramCookie {
				if got, cookie, ok := frame.ParseCookie(body); ok && got == nonce {
					return append([]byte(nil), cookie...), nil
				}
			}
		}
	}
	return nil, fmt.Errorf("no answer from %v", t.conn.RemoteAddr())
}

func (t *udpTransport) lost() *losses { return &t.losses }

func (t *udpTransport) output(packet []byte) {
	t.losses.sent(packet)
	t.stats.loss.Store(math.Float64bits(t.losses.loss()))
	t.stats.count(0, len(packet))
	_, _ = t.conn.Write(packet)
}

func (t *udpTransport) send(frames []byte) {
	t.lane.Write(frames)
	t.fresh = true
}

func (t *udpTransport) datagram(id uint16, session uint64, message []byte) bool {
	t.out = append(frame.AppendMessageHeader(t.out[:0], id, session), message...)
	if len(t.out) > frame.MTU {
		return false
	}
	t.stats.count(0, len(t.out))
	_, _ = t.conn.Write(t.out)
	return true
}

func (t *udpTransport) flush(now time.Time) {
	if t.fresh || t.lane.Busy() && now.Sub(t.swept) >= lane.Interval*time.Millisecond {
		t.fresh, t.swept = false, now
		t.lane.Update()
	}
}

func (t *udpTransport) wait(deadline time.Time) error {
	if t.lane.Busy() {
		if sweep := t.swept.Add(lane.Interval * time.Millisecond); sweep.Before(deadline) {
			deadline = sweep
		}
	}
	_ = t.conn.SetReadDeadline(deadline)
	if t.woken.Swap(false) {
		return nil
	}
	n, err := t.conn.Read(t.packet)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.woken.Store(false)
		return nil
	case err != nil:
		return err // such as refused: nobody listens there any more
	case n > frame.MaxPacket:
		return nil
	}
	t.stats.count(n, 0)
	return t.take(t.packet[:n])
}

func (t *udpTransport) take(packet []byte) error {
	if kind, id, body, ok := frame.ParseDatagram(packet); ok {
		switch kind {
		case frame.DatagramGone:
			if conv, ok := frame.ParseGone(body); ok && conv == t.lane.Conv() {
				return errGone
			}
		case frame.DatagramMessage:
			if session, payload, ok := frame.ParseMessage(body); ok {
				t.to.message(id, session, payload)
			}
		}
		return nil
	}
	if len(packet) < lane.Overhead || binary.LittleEndian.Uint32(packet) != t.lane.Conv() {
		return nil
	}
	err := t.lane.Input(packet)
	if errors.Is(err, lane.ErrDamaged) {
		return nil
	} else if err != nil {
		return err
	}
	t.lane.Read(t.scratch, func(b []byte) bool {
		err = t.to.stream(b)
		return err == nil
	})
	return err
}

func (t *udpTransport) wake() {
	t.woken.Store(true)
	_ = t.conn.SetReadDeadline(time.Unix(1, 0))
}

// close sends what is queued, without repeats, and closes the socket.
func (t *udpTransport) close() {
	t.lane.Update()
	_ = t.conn.Close()
}

// tcpTransport carries the same frames over TCP or a WebSocket, with a goroutine
// that reads.
type tcpTransport struct {
	conn   net.Conn
	to     receiver
	pieces chan []byte // what the goroutine has read; closed with the connection
	done   chan struct{}
	news   chan struct{}
	timer  *time.Timer
	out    []byte
	err    error
	stats  *counters
}

// Sizes and times of a TCP connection.
const (
	tcpPieces       = 8
	tcpPieceBytes   = 16 << 10
	tcpDialTimeout  = 5 * time.Second
	tcpWriteTimeout = 10 * time.Second
)

func dialTCP(transport Transport, address string, secure *tls.Config, to receiver, stats *counters) (*tcpTransport, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tcpDialTimeout)
	defer cancel()
	conn, err := dialStream(ctx, transport, address, secure)
	if err != nil {
		return nil, err
	}
	t := &tcpTransport{
		conn: conn, to: to, pieces: make(chan []byte, tcpPieces), done: make(chan struct{}),
		news: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), stats: stats,
	}
	go t.read()
	return t, nil
}

func (t *tcpTransport) read() {
	defer close(t.pieces)
	for {
		b := make([]byte, tcpPieceBytes)
		n, err := t.conn.Read(b)
		if n > 0 {
			select {
			case t.pieces <- b[:n]:
			case <-t.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (t *tcpTransport) send(frames []byte)                   { t.out = append(t.out, frames...) }
func (t *tcpTransport) datagram(uint16, uint64, []byte) bool { return false }
func (t *tcpTransport) lost() *losses                        { return new(losses) }

func (t *tcpTransport) flush(time.Time) {
	if len(t.out) == 0 || t.err != nil {
		return
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(tcpWriteTimeout))
	n, err := t.conn.Write(t.out)
	t.stats.count(0, n)
	t.out, t.err = t.out[:0], err
}

func (t *tcpTransport) wait(deadline time.Time) error {
	if t.err != nil {
		return t.err
	}
	t.timer.Reset(time.Until(deadline))
	select {
	case b, ok := <-t.pieces:
		if !ok {
			return errGone
		}
		t.stats.count(len(b), 0)
		return t.to.stream(b)
	case <-t.timer.C:
	case <-t.news:
	}
	return nil
}

func (t *tcpTransport) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

func (t *tcpTransport) close() {
	t.flush(time.Now())
	close(t.done)
	t.conn.Close()
	t.timer.Stop()
	for range t.pieces { // until the reader has ended
	}
}
