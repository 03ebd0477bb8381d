package bus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ferris1/wind/netcode/rpc"
)

// maxAdmins bounds the admin operations that run at once in an instance. It refuses further ones.
const maxAdmins = 16

// adminTimeout is how long to wait for an admin operation when the context has no deadline.
const adminTimeout = 30 * time.Second

// adminHead holds the members that every answer of an admin endpoint has.
type adminHead struct {
	OK       bool     `json:"ok"`
	Instance string   `json:"instance"`
	Code     rpc.Code `json:"code,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// onAdmin starts an operation. NATS calls it, so the operation runs in its own goroutine.
func (s *Served) onAdmin(m micro.Request) {
	reply, body := m.Reply(), m.Data()
	select {
	case s.admins <- struct{}{}:
	default:
		s.answerAdmin(reply, nil, rpc.Errorf(rpc.ResourceExhausted, "%d admin operations are already running", maxAdmins))
		return
	}
	s.group.Go(func() {
		defer func() { <-s.admins }()
		answer, err := s.admin(body)
		s.answerAdmin(reply, answer, err)
	})
}

func (s *Served) admin(body []byte) ([]byte, error) {
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(body, &head); err != nil || head.Op == "" {
		return nil, rpc.Errorf(rpc.InvalidArgument, `an admin request is a JSON object with "op"`)
	}
	if s.cfg.Admin == nil {
		return nil, rpc.Errorf(rpc.Unimplemented, "%s/%s has no admin operations", s.cfg.Type, s.cfg.ID)
	}
	return s.cfg.Admin(s.ctx, head.Op, body)
}

func (s *Served) answerAdmin(reply string, answer []byte, err error) {
	if reply == "" {
		return
	}
	head := adminHead{OK: err == nil, Instance: s.cfg.ID}
	m := &nats.Msg{Subject: reply}
	if err == nil {
		if m.Data, err = merge(answer, map[string]any{"ok": true, "instance": s.cfg.ID}); err != nil {
			head.OK, err = false, rpc.Errorf(rpc.Internal, "the answer is not a JSON object: %v", err)
		}
	}
	if err != nil {
		e := plainError(err)
		head.Code, head.Error = e.Code, e.Text
		m.Data, _ = json.Marshal(head) // adminHead always marshals
		m.Header = responseMsg(reply, &rpc.Response{Err: e}).Header
	}
	if err := s.bus.nc.PublishMsg(m); err != nil {
		s.counts.unsent.Add(1)
		s.log.Warn("cannot send an admin answer", "error", err)
	}
}

// merge adds members to a JSON object. An empty object stands for {}.
func merge(object []byte, with map[string]any) ([]byte, error) {
	all := map[string]any{}
	if len(object) > 0 {
		raw := map[string]json.RawMessage{}
		if err := json.Unmarshal(object, &raw); err != nil {
			return nil, err
		}
		for k, v := range raw {
			all[k] = v
		}
	}
	for k, v := range with {
		all[k] = v
	}
	return json.Marshal(all)
}

// Admin asks one instance to perform an operation and returns its JSON answer. body is empty or a JSON object; Admin
// adds "op" to it. If the instance refuses, or the request cannot reach it, the error is an *rpc.Error.
func (b *Bus) Admin(ctx context.Context, serviceType, instance, op string, body []byte) ([]byte, error) {
	err := ValidType(serviceType)
	if err == nil {
		err = ValidInstance(instance)
	}
	if err == nil {
		body, err = merge(body, map[string]any{"op": op})
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "admin operation %q: %v", op, err)
	}
	return b.operate(ctx, serviceType, instance, op, body)
}

// operate sends an operation and checks the head of the answer.
func (b *Bus) operate(ctx context.Context, serviceType, instance, op string, body []byte) ([]byte, error) {
	answer, err := b.ask(ctx, &call{kind: serviceType, instance: instance}, b.subjects.admin(serviceType, instance), "", body)
	if err != nil {
		return nil, err
	}
	var head adminHead
	switch err := json.Unmarshal(answer, &head); {
	case err != nil:
		e := rpc.Errorf(rpc.Internal, "the answer of %s/%s to %s is not JSON: %v", serviceType, instance, op, err)
		e.Maybe = true
		return nil, e
	case !head.OK && head.Code == rpc.OK:
		return answer, rpc.Errorf(rpc.FailedPrecondition, "%s", head.Error)
	case !head.OK:
		return answer, rpc.Errorf(head.Code, "%s", head.Error)
	}
	return answer, nil
}

// ask sends JSON to a subject and returns the answer unchanged.
func (b *Bus) ask(ctx context.Context, c *call, subject, from string, body []byte) ([]byte, error) {
	timeout := adminTimeout
	if until, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(until), time.Millisecond)
	}
	answer := make(chan rpc.Response, 1)
	c.raw, c.done = true, func(r rpc.Response) { answer <- r }
	h := newHeader(2)
	h.set(headerFrom, from)
	h.set(headerTimeout, timeoutText(timeout))
	token := b.request(c, &nats.Msg{Subject: subject, Header: h.h, Data: body}, timeout)
	r, err := b.await(ctx, token, answer)
	return r.Payload, err
}
