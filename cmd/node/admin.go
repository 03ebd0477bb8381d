package node

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
)

// admin carries out an operator's request to an instance; netcode/bus describes how it arrives.
func (i *instance) admin(ctx context.Context, op string, body []byte) ([]byte, error) {
	select {
	case <-i.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch op {
	case "drain":
		i.enter(discovery.Draining)
		return nil, i.share(ctx)
	case "undrain":
		i.enter(discovery.Up)
		return nil, i.share(ctx)
	case "stats":
		return json.Marshal(map[string]any{"service": i.service.Stats(), "bus": i.served.Stats()})
	}
	if op := reload.Op(op); slices.Contains(reload.Ops, op) {
		return i.scripts.Handle(ctx, op, body)
	}
	return nil, rpc.Errorf(rpc.Unimplemented, "unknown operation %q: use drain, undrain, stats, or those of a reload: prepare, commit, abort and scripts", op)
}
