package bus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/rpc"
)

// Command implements rpc.Bus.
func (b *Bus) Command(ctx context.Context, shard string, c rpc.ShardCommand) (tick uint64, err error) {
	body, err := json.Marshal(c)
	if err != nil {
		return 0, rpc.Errorf(rpc.InvalidArgument, "command %q: %v", clip(c.Name), err)
	}
	answer, err := b.Shard(ctx, shard, "command", c.From, body)
	if err != nil {
		return 0, err
	}
	var head shardHead
	if err := json.Unmarshal(answer, &head); err != nil {
		e := rpc.Errorf(rpc.Internal, "the answer of shard %s is not JSON: %v", shard, err)
		e.Maybe = true
		return 0, e
	}
	return head.Tick, nil
}

// command puts a command into the port. The request is answered when the command is committed.
func (s *ServedShard) command(m *nats.Msg) {
	var c rpc.ShardCommand
	fail := func(e *rpc.Error) { s.answer(m.Reply, intake.Outcome{}, nil, e) }
	if err := json.Unmarshal(m.Data, &c); err != nil {
		fail(rpc.Errorf(rpc.InvalidArgument, "the command is not JSON: %v", err))
		return
	}
	if c.From = value(m.Header, headerFrom); validToken("sender", c.From, maxFrom) != nil {
		fail(rpc.Errorf(rpc.InvalidArgument, "the header %s is not <type>/<id>", headerFrom))
		return
	}
	timeout := rpc.DefaultTimeout
	if v := value(m.Header, headerTimeout); v != "" {
		r, err := parseTimeout(v)
		if err != nil {
			fail(rpc.Errorf(rpc.InvalidArgument, "%v", err))
			return
		}
		timeout = r
	}
	timeout = rpc.AnswerWithin(timeout)
	s.cfg.Port.Enqueue(func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
		return compose(&c, w, next)
	}, time.Now().Add(timeout), func(u intake.Outcome, err error) { s.answer(m.Reply, u, nil, err) })
}

// compose makes the command for a tick.
func compose(c *rpc.ShardCommand, w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
	if ecs.OwnName(c.Name) {
		return nil, rpc.Errorf(rpc.PermissionDenied, "command %q is reserved for Wind", clip(c.Name))
	}
	kind, ok := w.Schema().Command(c.Name)
	if !ok {
		return nil, rpc.Errorf(rpc.NotFound, "the game has no command %q", clip(c.Name))
	}
	object := c.Value
	if len(object) == 0 || string(object) == "null" {
		object = json.RawMessage("{}")
	}
	payload, err := w.Schema().Commands[kind].PackJSON(nil, object)
	if err != nil {
		return nil, err
	}
	from := ecs.SourceOperator
	if c.From != "" {
		from = ecs.SourceService
	}
	source, seq := next(from)
	return []ecs.Command{{Kind: uint16(kind), Source: source, Seq: seq, Payload: payload}}, nil
}
