package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/reload/folder"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/systems/script"
)

// ShardScripts is the folder of a game's scripts that its shards run.
const ShardScripts = "shard"

// Reloaded is what a reload did, or would do.
type Reloaded struct {
	DryRun    bool     `json:"dry_run,omitempty"`
	Modules   int      `json:"modules"`
	Instances []string `json:"instances"`      // services, or the shard
	Tick      uint64   `json:"tick,omitempty"` // of the shard; 0: nothing was changed
	script.Report
}

// ReloadOptions say what a reload does with its modules.
type ReloadOptions struct {
	Whole  bool // these are all: others that are in force go
	DryRun bool // only try
}

// Reload puts modules in force in all instances of a service, or in none.
func (c *Cluster) Reload(ctx context.Context, serviceType string, modules []script.Module, o ReloadOptions) (Reloaded, error) {
	r := Reloaded{DryRun: o.DryRun, Modules: len(modules)}
	for _, i := range c.Directory.Instances(serviceType) {
		r.Instances = append(r.Instances, i.ID)
	}
	if len(r.Instances) == 0 {
		return r, rpc.Errorf(rpc.Unavailable, "no instance of service %q runs in cluster %s: wind ps lists what does", serviceType, c.Name)
	}
	if !o.DryRun { // one after another: of two at once some instances would take the one, some the other
		unlock, err := etcd.Lock(ctx, c.Etcd, c.Name, "reload-"+serviceType)
		if err != nil {
			return r, err
		}
		defer unlock()
	}
	defer c.Directory.Watch(func(x discovery.Change) { // nobody waits for one that has gone
		if x.Kind == discovery.Left && x.Instance.Type == serviceType {
			c.Bus.Fail(serviceType, x.Instance.ID)
		}
	})()
	result, err := reload.Run(ctx, c.Bus.Admin, reload.Config{Type: serviceType, Instances: r.Instances, Modules: modules, Whole: o.Whole, DryRun: o.DryRun})
	if err != nil {
		return r, err
	}
	for _, i := range result.Instances { // they ran the same before, as a rule
		if i.Report != nil {
			r.Report = *i.Report
			break
		}
	}
	return r, nil
}

// ReloadShard puts modules in force in a shard, as commands in its log; there are none when they are in force already.
func (c *Cluster) ReloadShard(ctx context.Context, shard string, modules []script.Module, o ReloadOptions) (Reloaded, error) {
	r := Reloaded{DryRun: o.DryRun, Modules: len(modules), Instances: []string{shard}}
	body, err := reload.Shard{Modules: modules, Whole: o.Whole, DryRun: o.DryRun}.Body()
	if err != nil {
		return r, err
	}
	answer, err := c.Bus.Shard(ctx, shard, "reload", "", body)
	if err != nil {
		return r, fmt.Errorf("shard %s: %w", shard, err)
	}
	var told reload.ShardAnswer
	if err := json.Unmarshal(answer, &told); err != nil {
		return r, fmt.Errorf("the answer of shard %s cannot be read: %w", shard, err)
	}
	r.Tick, r.Report = told.Tick, told.Report
	return r, nil
}

// reloadShard is the owner's side of ReloadShard.
func (n *Node) reloadShard(ctx context.Context, body []byte) ([]byte, error) {
	r, err := reload.ParseShard(body)
	if err != nil {
		return nil, err
	}
	var told reload.ShardAnswer
	changes := false
	outcome, err := n.sources.port.Submit(ctx, func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) (commands []ecs.Command, err error) {
		commands, told.Report, err = r.Commands(w, next)
		changes = len(commands) > 0
		return commands, err
	})
	if err != nil {
		return nil, err
	}
	if len(outcome.Failures) > 0 {
		return nil, rpc.Errorf(rpc.FailedPrecondition, "%s", outcome.Failures[0])
	}
	if changes {
		told.Tick = outcome.Tick
	}
	return json.Marshal(told)
}

// applyScripts puts what was saved in a folder in force, with all its modules: those of it that are in force and not there
// any more go. It says what changed, "" when nothing did.
func (n *Node) applyScripts(ctx context.Context, target string, modules []script.Module) (string, error) {
	if target == ShardScripts {
		if n.config.NoShard {
			return "", nil
		}
		r, err := n.cluster.ReloadShard(ctx, n.config.Shard, modules, ReloadOptions{Whole: true})
		if r.Tick == 0 {
			return "", err
		}
		return fmt.Sprintf("%s, in tick %d", r.Report, r.Tick), err
	}
	if !slices.ContainsFunc(n.instances, func(i *instance) bool { return i.config.Type == target }) {
		return "", nil
	}
	r, err := n.cluster.Reload(ctx, target, modules, ReloadOptions{Whole: true})
	return r.String(), err
}

// watchScripts reloads what is saved below dir until the node closes.
func (n *Node) watchScripts(dir string) error {
	inForce := map[string][]script.Module{}
	for _, i := range n.instances { // they have read it before; the shard has its own scripts, in its log
		inForce[i.config.Type] = i.service.Modules()
	}
	f, err := folder.Watch(folder.Config{Dir: dir, InForce: inForce, Apply: n.applyScripts, Logger: n.config.Log})
	if err != nil {
		return err
	}
	n.onClose(f.Close)
	n.alongside(f.Run)
	return nil
}
