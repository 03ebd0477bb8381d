package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Codes of the JetStream errors that the fence distinguishes.
const (
	codeWrongLastSequence = 10071 // the compare of compare-and-append failed
	codeWrongLastConstant = 10164 // the same, worded by newer servers
	codeMaximumBytes      = 10077 // DiscardNew and MaxBytes
	codeStorageExceeded   = 10047 // the account's or the server's limit
	codeNoPeers           = 10005 // fewer servers than replicas, so far
	codeInsufficient      = 10023 // the server is out of disk or memory
)

// isFull reports whether a server refused a message because its stream, or the server itself, has no room for it.
func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeMaximumBytes || api.ErrorCode == codeStorageExceeded || api.ErrorCode == codeInsufficient)
}

// DefaultAckTimeout is how long an append waits for its acknowledgement. A cluster that elects a new leader needs
// longer; the owner then looks whether the record was stored.
const DefaultAckTimeout = 2 * time.Second

// errAck reports an answer that is neither an acknowledgement nor an error.
var errAck = errors.New("the answer is not an acknowledgement")

// fenced publishes to one lane with an expected last sequence, one message at a time. It replaces nats.go's
// request-reply by an inbox of its own that it reads without an intermediate goroutine, which saves about 10 µs per
// commit.
type fenced struct {
	conn    *Conn
	lane    *lane
	timeout time.Duration

	mu     sync.Mutex
	sub    *nats.Subscription
	acks   chan *nats.Msg
	inbox  string
	asked  uint64
	timer  *time.Timer
	msg    nats.Msg // reused: header map, its values
	expect []string // value of the header with the expected last sequence
	number []string // of headerSeq, in a partition
	bytes  []string // of headerBytes, in a partition
}

// newFenced subscribes to the inbox. close ends the subscription.
func newFenced(c *Conn, l *lane, timeout time.Duration) (*fenced, error) {
	if timeout <= 0 {
		timeout = DefaultAckTimeout
	}
	p := &fenced{conn: c, lane: l, timeout: timeout, acks: make(chan *nats.Msg, 16), inbox: nats.NewInbox() + "."}
	p.expect, p.number, p.bytes = make([]string, 1), make([]string, 1), make([]string, 1)
	p.msg.Header = nats.Header{jetstream.ExpectedLastSeqHeader: p.expect}
	if l.shared() {
		p.msg.Header = nats.Header{jetstream.ExpectedLastSubjSeqHeader: p.expect, headerSeq: p.number, headerBytes: p.bytes}
		if l.filter != l.subject {
			p.msg.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{l.filter}
		}
	}
	p.timer = time.NewTimer(time.Hour)
	p.timer.Stop()
	sub, err := c.nc.ChanSubscribe(p.inbox+"*", p.acks)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot subscribe to acknowledgements: %w", err)
	}
	p.sub = sub
	return p, nil
}

func (p *fenced) close() { _ = p.sub.Unsubscribe() }

// publish stores body on a subject of the lane, after the message at a spot, and returns where; see Log.Append for the
// errors.
func (p *fenced) publish(ctx context.Context, subject string, h persistence.Header, body []byte, after spot) (spot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return spot{}, fmt.Errorf("jetstream: nothing sent: %w", err)
	}
	if err := p.conn.writable(); err != nil {
		return spot{}, err // nothing sent
	}
	next := spot{num: after.num + 1, bytes: after.bytes}
	if p.lane.shared() {
		next.bytes += p.lane.size(h, body)
		p.number[0], p.bytes[0] = strconv.FormatUint(next.num, 10), strconv.FormatUint(next.bytes, 10)
	}
	p.asked++
	p.msg.Subject, p.msg.Reply = subject, p.inbox+strconv.FormatUint(p.asked, 36)
	p.expect[0] = strconv.FormatUint(after.seq, 10)
	p.setHeader(h)
	p.msg.Data = body
	err := p.conn.nc.PublishMsg(&p.msg)
	p.msg.Data = nil
	if errors.Is(err, nats.ErrMaxPayload) {
		return spot{}, fmt.Errorf("jetstream: a message of %d bytes for %s: the server accepts at most %d, headers included", len(body), p.lane, p.conn.nc.MaxPayload())
	}
	if err != nil {
		return spot{}, fmt.Errorf("%w: %s: %w", persistence.ErrAmbiguous, p.lane, err)
	}
	next.seq, err = p.await(ctx, after)
	return next, err
}

// setHeader writes h into the reused header map.
func (p *fenced) setHeader(h persistence.Header) {
	if h.Parts == 0 {
		delete(p.msg.Header, persistence.HeaderPart)
	}
	h.Each(func(name, value string) bool {
		if v := p.msg.Header[name]; v != nil {
			v[0] = value
		} else {
			p.msg.Header[name] = []string{value}
		}
		return true
	})
}

// await waits for the answer to the message just sent and drops late answers to earlier ones. It returns the sequence
// at which the message is stored.
func (p *fenced) await(ctx context.Context, after spot) (uint64, error) {
	p.timer.Reset(p.timeout)
	defer p.timer.Stop()
	stalled := p.conn.stalled()
	for {
		select {
		case m := <-p.acks:
			if m.Subject == p.msg.Reply {
				return p.outcome(m, after)
			}
		case <-stalled:
			if err := p.conn.writable(); err != nil {
				return 0, fmt.Errorf("%w: %s: %w", persistence.ErrAmbiguous, p.lane, err)
			}
			return 0, fmt.Errorf("%w: %s: the store could not be written for a moment", persistence.ErrAmbiguous, p.lane)
		case <-p.timer.C:
			p.conn.suspect()
			return 0, fmt.Errorf("%w: %s did not answer within %v%s", persistence.ErrAmbiguous, p.lane, p.timeout, p.conn.silence())
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %s: %w", persistence.ErrAmbiguous, p.lane, ctx.Err())
		}
	}
}

// outcome maps an answer to the errors of package persistence. Only a non-duplicate acknowledgement of this stream,
// for the sequence after the expected one, means success. In a partition, messages of other shards may lie between the
// two. An answer that outcome does not understand is ambiguous.
func (p *fenced) outcome(m *nats.Msg, after spot) (uint64, error) {
	if m.Header.Get("Status") == "503" { // the server sends it if nobody listens on the subject
		return 0, fmt.Errorf("%w: %s: no stream answers on %s (deleted, without a leader, or its server has switched JetStream off, as one of a cluster does when its disk is full)", persistence.ErrAmbiguous, p.lane, p.msg.Subject)
	}
	if seq, ok := plainAck(m.Data, p.lane.name); ok && (seq == after.seq+1 || p.lane.shared() && seq > after.seq) {
		return seq, nil
	}
	var a struct {
		Error     *jetstream.APIError `json:"error"`
		Stream    string              `json:"stream"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
	}
	if json.Unmarshal(m.Data, &a) != nil || (a.Error == nil && a.Stream != p.lane.name) {
		return 0, fmt.Errorf("%w: %s: %w: %.100q", persistence.ErrAmbiguous, p.lane, errAck, m.Data)
	}
	if a.Error != nil {
		return 0, p.refused(a.Error, after)
	}
	next := a.Sequence == after.seq+1 || p.lane.shared() && a.Sequence > after.seq
	if !next || a.Duplicate {
		return 0, fmt.Errorf("%w: %s acknowledged sequence %d (duplicate %v) after %d", persistence.ErrConflict, p.lane, a.Sequence, a.Duplicate, after.seq)
	}
	return a.Sequence, nil
}

// plainAck returns the sequence of an acknowledgement of a stream that says nothing else, which nearly all do.
func plainAck(b []byte, stream string) (seq uint64, ok bool) {
	for _, part := range [...]string{`{"stream":"`, stream, `","seq":`} {
		if len(b) < len(part) || string(b[:len(part)]) != part {
			return 0, false
		}
		b = b[len(part):]
	}
	end := len(b) - 1
	if end < 1 || end > 18 || b[end] != '}' {
		return 0, false
	}
	for _, c := range b[:end] {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = 10*seq + uint64(c-'0')
	}
	return seq, true
}

func (p *fenced) refused(e *jetstream.APIError, after spot) error {
	switch e.ErrorCode {
	case codeWrongLastSequence, codeWrongLastConstant:
		return fmt.Errorf("%w: %s: expected last sequence %d: %s", persistence.ErrConflict, p.lane, after.seq, e.Description)
	}
	if isFull(e) {
		return fmt.Errorf("%w: %s: %s", persistence.ErrFull, p.lane, e.Description)
	}
	if e.Code >= 500 { // the server failed, and may have stored the message or not
		return fmt.Errorf("%w: %s: %w", persistence.ErrAmbiguous, p.lane, e)
	}
	return fmt.Errorf("jetstream: %s refuses the message: %w", p.lane, e)
}
