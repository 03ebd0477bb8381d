package node

import (
	"context"
	"encoding/json"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
)

// admin carries out what an operator asks of an instance; netcode/bus says how it gets here.
func (i *instance) admin(ctx context.Context, op string, body []byte) ([]byte, error) {
	select {
	case <-i.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch op {
	case "prepare", "commit", "abort":
		return i.reload(ctx, op, body)
	case "scripts":
		return json.Marshal(map[string]any{"modules": bus.ModulesJSON(i.service.Modules(), false)})
	case "drain":
		i.enter(discovery.Draining)
		return nil, i.served.Drain(ctx)
	case "undrain":
		i.enter(discovery.Up)
		return nil, i.served.Undrain()
	case "stats":
		return json.Marshal(map[string]any{"service": i.service.Stats(), "bus": i.served.Stats()})
	}
	return nil, rpc.Errorf(rpc.Unimplemented, "there is no operation %q: prepare, commit, abort, scripts, drain, undrain and stats", op)
}

// reload is one step of a reload.
func (i *instance) reload(ctx context.Context, op string, body []byte) ([]byte, error) {
	step, err := bus.ParseReload(body)
	if err != nil {
		return nil, err
	}
	switch op {
	case "prepare":
		return i.scripts.prepare(step)
	case "commit":
		return nil, i.scripts.commit(ctx, step)
	case "abort":
		i.service.Abort(step.Reload)
	}
	return nil, nil
}
