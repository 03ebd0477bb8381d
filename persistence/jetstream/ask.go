package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence/wait"
)

// asks is a JetStream context whose requests package wait bounds, reports and names. The streams that it returns do the
// same. A test checks every request of this package against the methods below.
type asks struct{ jetstream.JetStream }

// stream is a stream whose requests are bounded.
type stream struct {
	jetstream.Stream
	name string
}

// ask bounds one request to the JetStream API.
func ask(ctx context.Context, format string, args ...any) (context.Context, func(*error)) {
	return wait.For(ctx, wait.NATS, wait.Limit, fmt.Sprintf(format, args...))
}

// askAgain is the delay before a request that changes nothing the second time is sent again while the first answer is still
// awaited. The delay doubles each time. A server silently drops requests for a stream that has no leader yet: a new
// stream on three servers, or any stream during an election. It may also drop all but one of several nodes' requests to
// create or change one stream. The first answer counts, whichever request it answers.
const askAgain = 250 * time.Millisecond

// again calls ask until one call returns or ctx ends.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	answers, asked, pause := make(chan answer), 1, askAgain
	send := func() {
		v, err := ask(ctx)
		answers <- answer{v, err}
	}
	go send()
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case first := <-answers:
			for cancel(); asked > 1; asked-- {
				<-answers
			}
			return first.value, first.err
		case <-next.C:
			pause *= 2
			next.Reset(pause)
			asked++
			go send()
		}
	}
}

func (a asks) AccountInfo(ctx context.Context) (i *jetstream.AccountInfo, err error) {
	ctx, end := ask(ctx, "read the account's limits")
	defer end(&err)
	return again(ctx, a.JetStream.AccountInfo)
}

func (a asks) Stream(ctx context.Context, name string) (_ jetstream.Stream, err error) {
	ctx, end := ask(ctx, "find stream %s", name)
	defer end(&err)
	return bound(again(ctx, func(ctx context.Context) (jetstream.Stream, error) { return a.JetStream.Stream(ctx, name) }))
}

// bound wraps a stream so that its requests are bounded.
func bound(s jetstream.Stream, err error) (jetstream.Stream, error) {
	if err != nil {
		return nil, err
	}
	return stream{s, s.CachedInfo().Config.Name}, nil
}

func (a asks) CreateStream(ctx context.Context, c jetstream.StreamConfig) (_ jetstream.Stream, err error) {
	ctx, end := ask(ctx, "create stream %s", c.Name)
	defer end(&err)
	return bound(again(ctx, func(ctx context.Context) (jetstream.Stream, error) { return a.JetStream.CreateStream(ctx, c) }))
}

func (a asks) UpdateStream(ctx context.Context, c jetstream.StreamConfig) (_ jetstream.Stream, err error) {
	ctx, end := ask(ctx, "change stream %s", c.Name)
	defer end(&err)
	return bound(again(ctx, func(ctx context.Context) (jetstream.Stream, error) { return a.JetStream.UpdateStream(ctx, c) }))
}

func (a asks) CreateKeyValue(ctx context.Context, c jetstream.KeyValueConfig) (_ jetstream.KeyValue, err error) {
	ctx, end := ask(ctx, "create the key-value bucket %s", c.Bucket)
	defer end(&err)
	return a.JetStream.CreateKeyValue(ctx, c)
}

func (a asks) KeyValue(ctx context.Context, bucket string) (_ jetstream.KeyValue, err error) {
	ctx, end := ask(ctx, "find the key-value bucket %s", bucket)
	defer end(&err)
	return again(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return a.JetStream.KeyValue(ctx, bucket) })
}

func (a asks) CreateObjectStore(ctx context.Context, c jetstream.ObjectStoreConfig) (_ jetstream.ObjectStore, err error) {
	ctx, end := ask(ctx, "create the object store %s", c.Bucket)
	defer end(&err)
	return a.JetStream.CreateObjectStore(ctx, c)
}

func (a asks) Publish(ctx context.Context, subject string, body []byte, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return a.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: body}, o...)
}

// PublishMsg sends m once, and again for up to peersTimeout only while no server receives it: a stream without a leader, as
// one that three servers have just made, does not listen.
func (a asks) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	ctx, end := ask(ctx, "store a message on %s", strings.ToValidUTF8(m.Subject, "?"))
	defer end(&err)
	ack, err = a.JetStream.PublishMsg(ctx, m, o...)
	for end := time.Now().Add(peersTimeout); errors.Is(err, jetstream.ErrNoStreamResponse) && time.Now().Before(end); ack, err = a.JetStream.PublishMsg(ctx, m, o...) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
	return ack, err
}

func (s stream) Info(ctx context.Context, o ...jetstream.StreamInfoOpt) (_ *jetstream.StreamInfo, err error) {
	ctx, end := ask(ctx, "read the state of stream %s", s.name)
	defer end(&err)
	return again(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Stream.Info(ctx, o...) })
}

func (s stream) GetMsg(ctx context.Context, seq uint64, o ...jetstream.GetMsgOpt) (_ *jetstream.RawStreamMsg, err error) {
	ctx, end := ask(ctx, "read message %d of stream %s", seq, s.name)
	defer end(&err)
	return again(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.Stream.GetMsg(ctx, seq, o...) })
}

func (s stream) GetLastMsgForSubject(ctx context.Context, subject string) (_ *jetstream.RawStreamMsg, err error) {
	ctx, end := ask(ctx, "read the last message on %s in stream %s", subject, s.name)
	defer end(&err)
	return again(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.Stream.GetLastMsgForSubject(ctx, subject)
	})
}

func (s stream) Purge(ctx context.Context, o ...jetstream.StreamPurgeOpt) (err error) {
	ctx, end := ask(ctx, "purge stream %s", s.name)
	defer end(&err)
	return s.Stream.Purge(ctx, o...)
}

func (s stream) CreateConsumer(ctx context.Context, c jetstream.ConsumerConfig) (_ jetstream.Consumer, err error) {
	ctx, end := ask(ctx, "create a reader of stream %s", s.name)
	defer end(&err)
	return s.Stream.CreateConsumer(ctx, c)
}

func (s stream) DeleteConsumer(ctx context.Context, name string) (err error) {
	ctx, end := ask(ctx, "delete a reader of stream %s", s.name)
	defer end(&err)
	return s.Stream.DeleteConsumer(ctx, name)
}
