package jetstream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A pull is bounded by bytes. With a bound on the count alone, a pull of large messages overflows the connection
	// and stalls. No message is larger than a pull.
	pullBytes    = maxPayload + 1<<20
	pullMessages = 1024
	pullsOpen    = 2 // so that the server is never idle
	pullExpires  = 30 * time.Second
)

var (
	errSilence   = errors.New("no message arrives")     // within patience
	errExhausted = errors.New("no more messages exist") // the server says
)

// puller reads a stream through a consumer of its own, like nats.go's iterator but without its channel of a million
// places and its goroutines. It also knows at once when the server has no more messages.
type puller struct {
	nc       *nats.Conn
	stream   jetstream.Stream
	consumer string
	sub      *nats.Subscription
	inbox    string
	in       chan *nats.Msg
	timer    *time.Timer
	wait     bool // wait for messages that do not exist yet

	open  []pullRequest // oldest first
	asked int
	came  bool // a message came since the last time that no request was open
	fresh bool // a message came since the last time that a request ended
	dry   bool // a request ended empty: open no other before all have ended
}

type pullRequest struct {
	reply string
	left  int
}

// newPuller starts to read at a sequence of a lane's stream. close ends the read.
func newPuller(ctx context.Context, conn *Conn, l *lane, from uint64, wait bool) (*puller, error) {
	c, kind := conn.nc, ownConsumer
	if conn.readOnly {
		kind = readerConsumer
	}
	s := l.stream
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Name: kind + strings.ToLower(rand.Text()), AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		FilterSubject: l.filter, InactiveThreshold: time.Minute, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return nil, err
	}
	p := &puller{
		nc: c, stream: s, consumer: consumer.CachedInfo().Name, inbox: c.NewInbox() + ".", wait: wait,
		in: make(chan *nats.Msg, pullsOpen*(pullMessages+8)), timer: time.NewTimer(time.Hour), came: true, fresh: true,
	}
	if p.sub, err = c.ChanSubscribe(p.inbox+"*", p.in); err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

func (p *puller) close() {
	p.timer.Stop()
	_ = p.sub.Unsubscribe()
	p.drop()
}

// drop removes the consumer, which the server would otherwise do after a minute.
func (p *puller) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.stream.DeleteConsumer(ctx, p.consumer)
}

// next returns the next message that the consumer delivers. want is how many messages the caller still needs. It
// returns errExhausted if the server has no more, and errSilence if nothing arrives within patience.
func (p *puller) next(ctx context.Context, want uint64, patience time.Duration) (*nats.Msg, error) {
	for {
		if err := p.request(want); err != nil {
			return nil, err
		}
		m, err := p.receive(ctx, patience)
		if err != nil {
			return nil, err
		}
		if p.settle(m) {
			return m, nil
		}
	}
}

// request keeps requests open, for no more messages than the caller needs.
func (p *puller) request(want uint64) error {
	if len(p.open) == 0 {
		if !p.came && !p.wait {
			return errExhausted
		}
		p.came, p.dry = false, false
	}
	if p.dry && !p.wait {
		return nil // if each empty answer led to another request, some request would always be open
	}
	due := uint64(0)
	for _, r := range p.open {
		due += uint64(r.left)
	}
	for len(p.open) < pullsOpen && due < want {
		n := int(min(want-due, pullMessages))
		p.asked++
		r := pullRequest{reply: p.inbox + strconv.Itoa(p.asked), left: n}
		body := struct {
			Batch   int           `json:"batch"`
			Bytes   int           `json:"max_bytes"`
			NoWait  bool          `json:"no_wait,omitempty"`
			Expires time.Duration `json:"expires,omitempty"`
		}{Batch: n, Bytes: pullBytes, NoWait: !p.wait}
		if p.wait {
			body.Expires = pullExpires
		}
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		subject := "$JS.API.CONSUMER.MSG.NEXT." + p.stream.CachedInfo().Config.Name + "." + p.consumer
		if err := p.nc.PublishRequest(subject, r.reply, b); err != nil {
			return err
		}
		p.open, due = append(p.open, r), due+uint64(n)
	}
	return nil
}

func (p *puller) receive(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	select {
	case m := <-p.in:
		return m, nil
	default:
	}
	p.timer.Reset(patience)
	select {
	case m := <-p.in:
		return m, nil
	case <-p.timer.C:
		return nil, errSilence
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// settle updates the open requests for an incoming message. It reports whether it is a message of the stream; otherwise
// the server is reporting that a request has ended.
func (p *puller) settle(m *nats.Msg) bool {
	if m.Reply != "" || m.Header.Get("Status") == "" {
		p.came, p.fresh = true, true
		if len(p.open) > 0 {
			if p.open[0].left--; p.open[0].left == 0 {
				p.open = p.open[1:]
			}
		}
		return true
	}
	if m.Header.Get("Status") != "100" { // a sign of life
		p.open = slices.DeleteFunc(p.open, func(r pullRequest) bool { return r.reply == m.Subject })
		p.dry, p.fresh = p.dry || !p.fresh, false
	}
	return false
}

// streamSequence reads the sequence out of the reply subject of a delivered
// message: $JS.ACK.[domain.hash.]stream.consumer.delivered.SEQUENCE.…
func streamSequence(m *nats.Msg) (uint64, error) {
	t := strings.Split(m.Reply, ".")
	at := 5
	if len(t) > 9 {
		at = 7
	}
	if len(t) < 9 || t[0] != "$JS" || t[1] != "ACK" {
		return 0, fmt.Errorf("a message without a sequence (reply %q)", m.Reply)
	}
	return strconv.ParseUint(t[at], 10, 64)
}
