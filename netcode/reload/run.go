package reload

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/ferris1/wind/netcode/rpc"
)

// How long an instance may take for a step.
const (
	prepareTimeout = 30 * time.Second
	commitTimeout  = 10 * time.Second
)

// Admin asks one instance to perform an operation. netcode/bus.Bus.Admin is one. It may be called concurrently.
type Admin func(ctx context.Context, serviceType, instance, op string, body []byte) ([]byte, error)

// Run asks all instances at once to prepare the modules. If all are ready, it has them commit; otherwise they discard
// what they prepared. If ctx ends before the commits begin, nothing changes.
func Run(ctx context.Context, admin Admin, cfg Config) (Result, error) {
	c, requests := Begin(uuid.NewString(), cfg)
	replies := make(chan Reply, len(cfg.Instances))
	ctx, unwatch := context.WithCancel(ctx)
	defer unwatch()
	send := func(requests []Request) {
		for _, r := range requests {
			go func() { replies <- ask(ctx, admin, cfg.Type, r) }() // ends at the latest with its timeout; replies has room
		}
	}
	for send(requests); !c.Done(); {
		r := <-replies
		if err := ctx.Err(); err != nil {
			c.Cancel(err)
		}
		send(c.Step(r))
	}
	return c.Result()
}

// ask performs one request. After ctx ends, every operation but prepare continues, because half a commit is worse.
func ask(ctx context.Context, admin Admin, serviceType string, r Request) Reply {
	reply := Reply{Instance: r.Instance, Op: r.Step.Op}
	timeout := prepareTimeout
	if r.Step.Op != OpPrepare {
		ctx, timeout = context.WithoutCancel(ctx), commitTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := r.Step.Body()
	if err != nil {
		reply.Err = rpc.Errorf(rpc.InvalidArgument, "%v", err)
		return reply
	}
	answer, err := admin(ctx, serviceType, r.Instance, string(r.Step.Op), body)
	if err == nil && len(answer) > 0 {
		err = json.Unmarshal(answer, &reply.Answer)
	}
	reply.Err = err
	return reply
}
