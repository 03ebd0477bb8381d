package netcode

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
)

// endError is why a transport ends its connection: with a Bye.
type endError struct {
	reason wirepb.Reason
	text   string
}

// Error implements error.
func (e *endError) Error() string { return e.text }

// tooMuch ends a connection that is over one of its rates.
func tooMuch(what string) error {
	return &endError{wirepb.Reason_REASON_TOO_MUCH, "too many " + what + " per second"}
}

// maxDrain bounds the bytes that are read, and dropped, after a connection has
// ended. If they stayed unread, a reset would take the Bye along. A gateway's
// client that sends too many frames, but not too many bytes, has no more on its
// way.
const maxDrain = 512 << 10

var errDrained = errors.New("the client goes on sending behind the end")

// tap is the connection under a WebSocket. It sees what the messages do not
// show: headers, pings and empty messages, all of which the buckets count.
type tap struct {
	net.Conn
	take func(n int) error // bytes of the client's rate
	err  error             // ends the connection; of the reading goroutine
	over atomic.Bool       // the connection has ended
	left atomic.Int64      // bytes that are still dropped then
}

// Read implements net.Conn. Only one goroutine reads before the end.
func (t *tap) Read(p []byte) (int, error) {
	if t.over.Load() {
		n, err := t.Conn.Read(p)
		if t.left.Add(-int64(n)) < 0 {
			return 0, errDrained
		}
		return n, err
	}
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.Conn.Read(p)
	if n > 0 && !t.over.Load() && !t.count(t.take(n)) {
		return 0, t.err
	}
	return n, err
}

// count lets the next Read fail if err is not nil.
func (t *tap) count(err error) bool {
	if t.err == nil {
		t.err = err
	}
	return t.err == nil
}

// end lets what still comes be dropped, until a time.
func (t *tap) end(until time.Time) {
	t.left.Store(maxDrain)
	t.over.Store(true)
	_ = t.Conn.SetDeadline(until)
}

// tapped gives the connection of an HTTP request to a tap when it is taken over.
type tapped struct {
	http.ResponseWriter
	tap *tap
}

// Hijack implements http.Hijacker.
func (w *tapped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.tap.Conn = conn
	return w.tap, rw, nil
}
