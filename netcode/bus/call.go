package bus

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// maxTries bounds how many instances Call asks one after another.
const maxTries = 8

// Call sends r to one instance and waits for the answer as long as ctx and r.Timeout allow. Without to.ID it asks another
// instance if one has not begun r because it is gone or ends. Its errors are *rpc.Error.
func (b *Bus) Call(ctx context.Context, to rpc.Address, r rpc.Request) (rpc.Response, error) {
	if to.All {
		return rpc.Response{}, rpc.NotBegun(rpc.InvalidArgument, "a call to all of %s: nobody would answer", clip(to.Type))
	}
	if err := ctx.Err(); err != nil {
		e := rpc.ErrorOf(err)
		e.NotBegun = true
		return rpc.Response{}, e
	}
	if r.Timeout <= 0 {
		r.Timeout = rpc.DefaultTimeout
	}
	until := time.Now().Add(r.Timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	var tried []string
	for {
		id, chosen := to.ID, false
		if id == "" && len(tried) < maxTries {
			id, chosen = b.any(to.Type, tried)
		}
		r.Timeout = max(time.Until(until), time.Millisecond)
		answer := make(chan rpc.Response, 1)
		token := b.send(to.Type, id, &r, func(r rpc.Response) { answer <- r })
		a, err := b.await(ctx, token, answer)
		if e := rpc.ErrorOf(err); !chosen || err == nil || e.Code != rpc.Unavailable || !e.NotBegun {
			return a, err
		}
		tried = append(tried, id)
	}
}

// await waits for the answer to a request that was sent, or for the end of ctx.
func (b *Bus) await(ctx context.Context, token uint64, answer <-chan rpc.Response) (rpc.Response, error) {
	select {
	case a := <-answer:
		return unpack(a)
	case <-ctx.Done():
	}
	c := b.pending.take(token)
	if c == nil {
		return unpack(<-answer) // it has just arrived
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		b.unanswered(c)
	}
	e := rpc.ErrorOf(ctx.Err())
	e.Maybe = true
	return rpc.Response{}, e
}

func unpack(r rpc.Response) (rpc.Response, error) {
	if r.Err != nil {
		return rpc.Response{}, r.Err
	}
	return r, nil
}

// Tell sends r without waiting: it cannot tell whether anyone received it. Its errors are *rpc.Error.
func (b *Bus) Tell(to rpc.Address, r rpc.Request) error {
	if to.ID == "" && !to.All {
		to.ID, _ = b.any(to.Type, nil)
	}
	subject, err := b.target(to.Type, to.ID)
	if to.All && to.ID == "" {
		subject = b.subjects.all(to.Type)
	}
	if err == nil {
		err = checkRequest(&r)
	}
	if err != nil {
		return rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	if err := b.nc.PublishMsg(&nats.Msg{Subject: subject, Header: requestHeader(&r, r.Timeout), Data: r.Payload}); err != nil {
		return publishError(err)
	}
	return nil
}

// Send sends r to one instance, or to any of its type if instance is "", and returns. It does not keep r. It calls
// done exactly once, from any goroutine, possibly before Send returns; done must not block. done gets the answer, or
// one of these errors:
//
//   - Unavailable and NotBegun: no receiver is subscribed, or the connection is down
//   - DeadlineExceeded and Maybe: r.Timeout (0: rpc.DefaultTimeout) has passed
//   - Unavailable and Maybe: the connection was lost meanwhile, or Fail was called
func (b *Bus) Send(serviceType, instance string, r *rpc.Request, done func(rpc.Response)) {
	b.send(serviceType, instance, r, done)
}

// Fail fails all requests addressed to one instance by name, with Unavailable and Maybe. Call it once the instance is
// known to be gone.
func (b *Bus) Fail(serviceType, instance string) {
	gone := func(c *call) bool { return c.instance == instance && c.kind == serviceType }
	end(b.pending.takeAll(gone), rpc.Unavailable, "the service went away")
}

// Gone says that an instance has left the directory. Requests to it fail a second later, with Unavailable and Maybe,
// unless their answers arrive first. So do requests to any instance for which NATS chose one, perhaps this one.
func (b *Bus) Gone(serviceType, instance string) {
	b.pending.missing(&call{kind: serviceType, instance: instance, token: math.MaxUint64, left: true})
}

// target returns the subject of one instance, or of any if instance is "".
func (b *Bus) target(kind, instance string) (string, error) {
	if err := ValidType(kind); err != nil {
		return "", err
	}
	if instance == "" {
		return b.subjects.any(kind), nil
	}
	if err := ValidInstance(instance); err != nil {
		return "", err
	}
	return b.subjects.id(kind, instance), nil
}

func (b *Bus) send(kind, instance string, r *rpc.Request, done func(rpc.Response)) (token uint64) {
	subject, err := b.target(kind, instance)
	if err == nil {
		err = checkRequest(r)
	}
	if err != nil {
		done(notBegun(rpc.InvalidArgument, "%v", err))
		return 0
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = rpc.DefaultTimeout
	}
	timeout = min(timeout, MaxTimeout)
	m := &nats.Msg{Subject: subject, Header: requestHeader(r, timeout), Data: r.Payload}
	return b.request(&call{kind: kind, instance: instance, done: done}, m, timeout)
}

// request publishes m with a reply subject. c.done gets the answer.
func (b *Bus) request(c *call, m *nats.Msg, timeout time.Duration) (token uint64) {
	token, refused := b.pending.add(c, timeout)
	if refused != nil {
		c.done(rpc.Response{Err: refused})
		return 0
	}
	reply := append(make([]byte, 0, len(b.inbox)+13), b.inbox...)
	m.Reply = string(strconv.AppendUint(reply, token, 36))
	if err := b.nc.PublishMsg(m); err != nil && b.pending.take(token) != nil {
		c.done(rpc.Response{Err: publishError(err)})
	}
	return token
}

// publishError explains why a publish failed. Maybe is set if the message may have left anyway.
func publishError(err error) *rpc.Error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return rpc.NotBegun(rpc.Unavailable, "there is no connection to NATS")
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return rpc.NotBegun(rpc.Unavailable, "the connection to NATS is closed")
	case errors.Is(err, nats.ErrMaxPayload):
		return rpc.NotBegun(rpc.InvalidArgument, "the message exceeds the NATS server's max_payload")
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg), errors.Is(err, nats.ErrHeadersNotSupported):
		return rpc.NotBegun(rpc.InvalidArgument, "NATS refuses the message: %v", err)
	}
	e := rpc.Errorf(rpc.Unavailable, "the message could not be sent: %v", err)
	e.Maybe = true
	return e
}

// onReply delivers an answer. NATS calls it for one message at a time.
func (b *Bus) onReply(m *nats.Msg) {
	if len(m.Subject) <= len(b.inbox) {
		return
	}
	token, err := strconv.ParseUint(m.Subject[len(b.inbox):], 36, 64)
	if err != nil {
		b.bad.Add(1)
		return
	}
	c := b.pending.take(token)
	switch {
	case c == nil: // too late
	case len(m.Data) == 0 && value(m.Header, headerStatus) == "503":
		if c.instance != "" {
			b.pending.missing(c)
		}
		c.done(notBegun(rpc.Unavailable, "%s", c.absent()))
	case c.raw && len(m.Data) > 0:
		c.done(rpc.Response{Payload: m.Data})
	default:
		if c.instance != "" && !c.raw {
			b.heard(c.kind, c.instance, true)
		}
		c.done(parseResponse(m.Header, m.Data))
	}
}
