package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Wire speaks a server's protocol on one connection of a load generator. One goroutine calls its methods.
type Wire interface {
	// Open performs whatever precedes the first request: hellos, a login.
	Open(w io.Writer, r *bufio.Reader) error
	// Append appends the request with a number from 1 to the depth. At most one request of each number is under way.
	Append(b []byte, number uint32) []byte
	// Next reads the next answer and returns the number of its request. For a failed request it returns a *FailedError;
	// any other error ends the connection.
	Next(r *bufio.Reader) (number uint32, err error)
}

// FailedError reports that a server refused or failed a request. The connection stays usable.
type FailedError struct{ Text string }

func (e *FailedError) Error() string { return e.Text }

// LoadOptions configures Load. Each connection keeps Depth requests under way: it sends the next one when an answer
// arrives.
type LoadOptions struct {
	Addr        string
	Connections int           // 1 to 10,000
	Depth       int           // 1 to 1,024
	Warm        time.Duration // not counted
	For         time.Duration // counted, at most a minute
	Wire        func(connection int) Wire
}

// LoadResult is the result of Load.
type LoadResult struct {
	Connections int     `json:"connections"`
	Depth       int     `json:"depth"`
	Seconds     float64 `json:"seconds"`
	Requests    uint64  `json:"requests"` // answered
	PerSecond   float64 `json:"per_second"`
	P50         float64 `json:"us_p50"` // from queueing a request to reading its answer
	P99         float64 `json:"us_p99"`
	Max         float64 `json:"us_max"`
	Failed      uint64  `json:"failed"`
	Failure     string  `json:"failure,omitempty"` // the first one
}

// openTimeout bounds a connection's Open, and the wait for answers after the end.
const openTimeout = 10 * time.Second

// Load opens the connections, keeps all of them busy, and closes them. When ctx ends it stops early with ctx's error.
func Load(ctx context.Context, o LoadOptions) (LoadResult, error) {
	if o.Connections < 1 || o.Connections > 10_000 || o.Depth < 1 || o.Depth > 1024 || o.For <= 0 || o.For > time.Minute || o.Warm < 0 || o.Warm > time.Minute {
		return LoadResult{}, fmt.Errorf("bench: %d connections, depth %d, %s after %s: want 1 to 10000, 1 to 1024, and at most a minute", o.Connections, o.Depth, o.For, o.Warm)
	}
	all := make([]*loader, 0, o.Connections)
	defer func() {
		for _, l := range all {
			l.conn.Close()
		}
	}()
	for i := range o.Connections {
		l, err := openLoader(ctx, o.Addr, o.Wire(i), o.Depth)
		if err != nil {
			return LoadResult{}, fmt.Errorf("bench: connection %d: %w", i, err)
		}
		all = append(all, l)
	}
	stop := context.AfterFunc(ctx, func() {
		for _, l := range all {
			l.conn.Close()
		}
	})
	defer stop()
	from := time.Now().Add(o.Warm)
	to := from.Add(o.For)
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, l := range all {
		group.Go(func() { errs[i] = l.run(from, to) })
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return LoadResult{}, err
	}
	r := LoadResult{Connections: o.Connections, Depth: o.Depth, Seconds: o.For.Seconds()}
	var times histogram
	for i, l := range all {
		if errs[i] != nil {
			return LoadResult{}, fmt.Errorf("bench: connection %d: %w", i, errs[i])
		}
		times.merge(&l.times)
		if r.Failed += l.failed; r.Failure == "" {
			r.Failure = l.failure
		}
	}
	r.Requests = times.count
	r.PerSecond = float64(r.Requests) / r.Seconds
	r.P50, r.P99, r.Max = times.at(0.50), times.at(0.99), float64(times.max)/1e3
	return r, nil
}

// loader is one connection of a load.
type loader struct {
	conn    net.Conn
	r       *bufio.Reader
	wire    Wire
	out     []byte
	sent    []time.Time // by request number
	times   histogram
	failed  uint64
	failure string
}

func openLoader(ctx context.Context, addr string, w Wire, depth int) (*loader, error) {
	d := net.Dialer{Timeout: openTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &loader{conn: conn, r: bufio.NewReaderSize(conn, 16<<10), wire: w, sent: make([]time.Time, depth+1)}
	conn.SetDeadline(time.Now().Add(openTimeout))
	if err := w.Open(conn, l.r); err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// run sends and reads until to, and then waits for the outstanding answers.
func (l *loader) run(from, to time.Time) error {
	l.conn.SetDeadline(to.Add(openTimeout))
	now := time.Now()
	waiting := len(l.sent) - 1
	for n := 1; n <= waiting; n++ {
		l.send(uint32(n), now)
	}
	for waiting > 0 {
		if err := l.flush(); err != nil {
			return err
		}
		n, err := l.wire.Next(l.r)
		failed := (*FailedError)(nil)
		if err != nil && !errors.As(err, &failed) {
			return err
		}
		if n == 0 || int(n) >= len(l.sent) {
			return fmt.Errorf("an answer to request %d, which was not sent", n)
		}
		now := time.Now()
		waiting--
		switch counted := !now.Before(from) && now.Before(to); {
		case failed != nil:
			if l.failed++; l.failure == "" {
				l.failure = failed.Text
			}
		case counted:
			l.times.add(now.Sub(l.sent[n]))
		}
		if now.Before(to) {
			l.send(n, now)
			waiting++
		}
	}
	return nil
}

func (l *loader) send(n uint32, now time.Time) {
	l.out = l.wire.Append(l.out, n)
	l.sent[n] = now
}

// flush writes the queued requests once all received answers have been read, so that answers that arrive together
// trigger one write.
func (l *loader) flush() error {
	if len(l.out) == 0 || l.r.Buffered() > 0 {
		return nil
	}
	_, err := l.conn.Write(l.out)
	l.out = l.out[:0]
	return err
}
