package node

import (
	"context"
	"encoding/json"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
)

// admin carries out what an operator asks of an instance; netcode/bus says how it gets here.
func (i *instance) admin(ctx context.Context, op string, body []byte) ([]byte, error) {
	switch op {
	case "prepare", "commit", "abort", "keep":
		return i.reload(ctx, op, body)
	case "scripts":
		return json.Marshal(map[string]any{"modules": bus.ModulesJSON(i.service.Modules(), false)})
	case "drain":
		i.enter(etcd.Draining)
		return nil, i.served.Drain(ctx)
	case "undrain":
		i.enter(etcd.Up)
		return nil, i.served.Undrain()
	case "stats":
		return json.Marshal(map[string]any{"service": i.service.Stats(), "bus": i.served.Stats()})
	}
	return nil, rpc.Errorf(rpc.Unimplemented, "there is no operation %q: prepare, commit, abort, keep, scripts, drain, undrain and stats", op)
}

// reload is one step of a reload.
func (i *instance) reload(ctx context.Context, op string, body []byte) ([]byte, error) {
	step, err := bus.ParseReload(body)
	if err != nil {
		return nil, err
	}
	switch op {
	case "prepare":
		report, err := i.service.Prepare(step.Reload, step.Replacing(i.service.Modules()))
		if err != nil {
			return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
		}
		return json.Marshal(map[string]any{"report": report})
	case "commit":
		if err := i.service.Commit(step.Reload); err != nil {
			return nil, rpc.Errorf(rpc.FailedPrecondition, "%v", err)
		}
		i.scripts.enter(step.Reload)
	case "keep":
		return nil, i.scripts.keep(ctx, step.Reload, i.service.Modules())
	case "abort":
		i.service.Abort(step.Reload)
	}
	return nil, nil
}
