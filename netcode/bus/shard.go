package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/rpc"
)

// queueShard is the queue group of a shard's subject. If two nodes both believe they own the shard, only one gets a
// request, so that its "not executed" is true.
const queueShard = "owner"

// maxShardOps bounds the operations other than commands that run at once in a shard. It refuses further ones.
const maxShardOps = 16

// ShardConfig describes a shard to ServeShard.
type ShardConfig struct {
	Shard string       // 1 to 40 of a-z, 0-9 and the dash
	Port  *intake.Port // this shard's port; it takes the operation "command"
	// Ops holds the other operations by name, such as "reload". body is the whole request. The answer is a JSON
	// object, or empty; the bus adds "ok". An operation may block, and must return when ctx ends.
	Ops map[string]ShardOp
}

// ShardOp is an operation of a shard.
type ShardOp func(ctx context.Context, body []byte) ([]byte, error)

// ServedShard answers requests to a shard while its port owns the shard.
type ServedShard struct {
	bus    *Bus
	cfg    ShardConfig
	ctx    context.Context
	cancel context.CancelFunc
	ops    chan struct{}
	group  sync.WaitGroup

	mu     sync.Mutex
	sub    *nats.Subscription // nil while this node does not own the shard
	closed bool
}

// shardHead holds the members that every answer of a shard has.
type shardHead struct {
	OK    bool     `json:"ok"`
	Tick  uint64   `json:"tick,omitempty"`
	Code  rpc.Code `json:"code,omitempty"`
	Error string   `json:"error,omitempty"`
	Maybe bool     `json:"maybe,omitempty"`
	// NotBegun is true if no part of the request entered a tick.
	NotBegun bool `json:"not_begun,omitempty"`
}

// ServeShard answers requests to a shard whenever its port owns the shard, until Close.
func (b *Bus) ServeShard(c ShardConfig) (*ServedShard, error) {
	if err := ecs.ValidName(c.Shard, ecs.MaxName); err != nil {
		return nil, fmt.Errorf("bus: shard: %w", err)
	}
	s := &ServedShard{bus: b, cfg: c, ops: make(chan struct{}, maxShardOps)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if !c.Port.Watch(s.follow) {
		s.cancel()
		return nil, fmt.Errorf("bus: the port of shard %s is already served", c.Shard)
	}
	return s, nil
}

// Close stops answering. Commands that are waiting in the port stay there.
func (s *ServedShard) Close() {
	s.cfg.Port.Watch(nil)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.follow(false)
	s.cancel()
	s.group.Wait()
}

// follow subscribes while the shard is owned. Requests that have arrived when ownership ends are still answered.
func (s *ServedShard) follow(owned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case owned && s.sub == nil && !s.closed:
		s.sub, err = s.bus.nc.QueueSubscribe(s.bus.subjects.shard(s.cfg.Shard), queueShard, s.onRequest)
	case !owned && s.sub != nil:
		err = s.sub.Drain()
		s.sub = nil
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.bus.log.Error("cannot begin or end the subscription to a shard's requests", "shard", s.cfg.Shard, "error", err)
	}
}

// onRequest takes a request. NATS calls it, so it must not block.
func (s *ServedShard) onRequest(m *nats.Msg) {
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(m.Data, &head); err != nil || head.Op == "" {
		s.answer(m.Reply, intake.Outcome{}, nil, rpc.Errorf(rpc.InvalidArgument, `a request to a shard is a JSON object with "op"`))
		return
	}
	if head.Op == "command" {
		s.command(m)
		return
	}
	op := s.cfg.Ops[head.Op]
	if op == nil {
		s.answer(m.Reply, intake.Outcome{}, nil, rpc.Errorf(rpc.Unimplemented, "a shard has no operation %q", clip(head.Op)))
		return
	}
	select {
	case s.ops <- struct{}{}:
	default:
		s.answer(m.Reply, intake.Outcome{}, nil, rpc.Errorf(rpc.ResourceExhausted, "%d operations are already running", maxShardOps))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // Close waits only for operations that began before it
		<-s.ops
		s.answer(m.Reply, intake.Outcome{}, nil, rpc.NotBegun(rpc.Unavailable, "the node is stopping"))
		return
	}
	s.group.Go(func() {
		defer func() { <-s.ops }()
		body, err := op(s.ctx, m.Data)
		s.answer(m.Reply, intake.Outcome{}, body, err)
	})
}

// answer sends the result of a request. A rejected command is an error: it is in the log but did nothing.
func (s *ServedShard) answer(reply string, u intake.Outcome, body []byte, err error) {
	if reply == "" {
		return
	}
	if err == nil && len(u.Failures) > 0 {
		err = rpc.Errorf(rpc.FailedPrecondition, "%s", strings.Join(u.Failures, "; "))
	}
	m := &nats.Msg{Subject: reply}
	head := shardHead{OK: true, Tick: u.Tick}
	if err == nil {
		if m.Data, err = mergeHead(body, head); err != nil {
			err = rpc.Errorf(rpc.Internal, "the answer is not a JSON object: %v", err)
		}
	}
	if err != nil {
		e := plainError(err)
		m.Header = responseMsg(reply, &rpc.Response{Err: e}).Header
		m.Data, _ = json.Marshal(shardHead{Tick: u.Tick, Code: e.Code, Error: e.Text, Maybe: e.Maybe, NotBegun: e.NotBegun}) // shardHead always marshals
	}
	if err := s.bus.nc.PublishMsg(m); err != nil {
		s.bus.log.Debug("cannot send a shard's answer", "shard", s.cfg.Shard, "error", err)
	}
}

func mergeHead(body []byte, head shardHead) ([]byte, error) {
	if len(body) == 0 {
		return json.Marshal(head)
	}
	return merge(body, map[string]any{"ok": true})
}

// plainError returns err as an *rpc.Error with its own text, for operators.
func plainError(err error) *rpc.Error {
	if e := (*rpc.Error)(nil); errors.As(err, &e) {
		return e
	}
	return rpc.Errorf(rpc.Internal, "%v", err)
}

// Shard asks a shard to perform an operation and returns its JSON answer. body is empty or a JSON object; Shard adds
// "op" to it. from is the service that asks, "" for an operator. Its errors are *rpc.Error; Unavailable with NotBegun
// means that no node owns the shard.
func (b *Bus) Shard(ctx context.Context, shard, op, from string, body []byte) ([]byte, error) {
	err := validToken("sender", from, maxFrom)
	if bad := ecs.ValidName(shard, ecs.MaxName); bad != nil {
		err = fmt.Errorf("shard: %w", bad)
	}
	if err == nil {
		body, err = merge(body, map[string]any{"op": op})
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "operation %q: %v", op, err)
	}
	answer, err := b.ask(ctx, &call{kind: "shard", instance: shard}, b.subjects.shard(shard), from, body)
	if err != nil {
		return nil, err
	}
	var head shardHead
	switch err := json.Unmarshal(answer, &head); {
	case err != nil:
		return nil, &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("the answer of shard %s to %s is not JSON: %v", shard, op, err), Maybe: true}
	case !head.OK:
		return answer, &rpc.Error{Code: max(head.Code, rpc.Canceled), Text: head.Error, Maybe: head.Maybe, NotBegun: head.NotBegun}
	}
	return answer, nil
}
