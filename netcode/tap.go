package netcode

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/wirepb"
)

// endError makes a transport end its connection with a Bye.
type endError struct {
	reason wirepb.Reason
	text   string
}

// Error implements error.
func (e *endError) Error() string { return e.text }

// exceeded says that something came faster than a bucket allows.
func exceeded(b *rate.Bucket, what string) string {
	return fmt.Sprintf("more %s than the limit of %g per second for one connection", what, b.Rate)
}

// tooMuch returns the error that ends a connection over the rate of its bucket.
func tooMuch(b *rate.Bucket, what string) error {
	return &endError{wirepb.Reason_REASON_TOO_MUCH, exceeded(b, what)}
}

// maxDrain bounds the bytes that are read, and dropped, after a connection has
// ended. If they stayed unread, a reset would take the Bye along. A gateway's
// client that sends too many frames, but not too many bytes, has no more on its
// way.
const maxDrain = 512 << 10

var errDrained = errors.New("the client keeps sending after the end")

// tap is the connection under a WebSocket. It sees what the messages do not show:
// headers, pings and empty messages. The buckets count all of them.
type tap struct {
	net.Conn
	take func(n int) error // charges bytes to the client's rate
	err  error             // ends the connection; only the reading goroutine uses it
	over atomic.Bool       // the connection has ended
	left atomic.Int64      // bytes that it may still drop after the end
}

// Read implements net.Conn. Before the end only one goroutine may read.
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

// count makes the next Read fail if err is not nil. It returns false once an error
// is set.
func (t *tap) count(err error) bool {
	if t.err == nil {
		t.err = err
	}
	return t.err == nil
}

// end makes Read drop everything that still arrives, until a time.
func (t *tap) end(until time.Time) {
	t.left.Store(maxDrain)
	t.over.Store(true)
	_ = t.Conn.SetDeadline(until)
}

// Close implements net.Conn. After the end it first says that nothing more comes, and drops what still arrives until the
// client closes too: an error in the middle of a message makes the WebSocket close at once, and a reset would take the Bye along.
func (t *tap) Close() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok && t.over.Load() && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{t})
	}
	return t.Conn.Close()
}

// tapped puts a tap under the connection of an HTTP request when Hijack takes it
// over.
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
