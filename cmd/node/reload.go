package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/reload/folder"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/systems/script"
)

// ShardScripts is the folder of a game's scripts for its shards.
const ShardScripts = "shard"

// Reloaded is the result of a reload or of a dry run.
type Reloaded struct {
	DryRun    bool     `json:"dry_run,omitempty"`
	Modules   int      `json:"modules"`        // that the reload names; in force are these and, unless they are the whole set, others
	Instances []string `json:"instances"`      // of the service, or the shard
	Tick      uint64   `json:"tick,omitempty"` // of the shard; 0: nothing changed
	script.Report
}

// ReloadOptions configure a reload.
type ReloadOptions struct {
	Whole  bool // the modules are the whole set: remove others that are in force
	DryRun bool // check only
	// InForce is asked once no other reload of the service runs: if it says that the modules are in force, nothing is done.
	// Nil: they are not.
	InForce func() bool
}

// Reload puts modules in force in all instances of a service or, if one refuses, in none.
func (c *Cluster) Reload(ctx context.Context, serviceType string, modules []script.Module, o ReloadOptions) (Reloaded, error) {
	r := Reloaded{DryRun: o.DryRun, Modules: len(modules)}
	for _, i := range c.Directory.Instances(serviceType) {
		r.Instances = append(r.Instances, i.ID)
	}
	if len(r.Instances) == 0 {
		return r, rpc.Errorf(rpc.Unavailable, "no instance of service %q runs in cluster %s: wind ps lists those that do", serviceType, c.Name)
	}
	if !o.DryRun { // one at a time: with two at once, instances could end up with different modules
		unlock, err := etcd.Lock(ctx, c.Etcd, c.Name, "reload-"+serviceType)
		if err != nil {
			return r, rpc.Errorf(rpc.Unavailable, "%v", err)
		}
		defer unlock()
	}
	if o.InForce != nil && o.InForce() {
		return r, nil
	}
	defer c.Directory.Watch(func(x discovery.Change) { // do not wait for an instance that has left
		if x.Kind == discovery.Left && x.Instance.Type == serviceType {
			c.Bus.Fail(serviceType, x.Instance.ID)
		}
	})()
	result, err := reload.Run(ctx, c.Bus.Admin, reload.Config{Type: serviceType, Instances: r.Instances, Modules: modules, Whole: o.Whole, DryRun: o.DryRun})
	if err != nil {
		return r, err
	}
	for _, i := range result.Instances { // normally all ran the same modules, so any report will do
		if i.Report != nil {
			r.Report = *i.Report
			break
		}
	}
	return r, nil
}

// ReloadShard puts modules in force in a shard through commands in its log. It writes no commands if the modules are already
// in force.
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
		return r, fmt.Errorf("cannot read the answer of shard %s: %w", shard, err)
	}
	r.Tick, r.Report = told.Tick, told.Report
	return r, nil
}

// applyScripts puts all modules of a watched folder in force and removes those in force that the folder no longer
// contains. It returns a description of the change, or "" if nothing changed.
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
	k := slices.IndexFunc(n.instances, func(i *instance) bool { return i.config.Type == target })
	if k < 0 {
		return "", nil
	}
	// When several instances watch folders with the same content, the first to see a change reloads all of them.
	inForce := false
	r, err := n.cluster.Reload(ctx, target, modules, ReloadOptions{Whole: true, InForce: func() bool {
		inForce = script.SHA256(n.instances[k].service.Modules()) == script.SHA256(modules)
		return inForce
	}})
	if inForce {
		return "", err
	}
	return r.String(), err
}

// watchScripts reloads files saved below dir until the node closes. What a service's folder held when the instance came
// with it is no change: a reload may have put something newer in force since.
func (n *Node) watchScripts(dir string) error {
	known := map[string][]script.Module{}
	for _, i := range n.instances { // the shard's scripts are in its log
		known[i.config.Type] = i.own
	}
	f, err := folder.Watch(folder.Config{Dir: dir, Known: known, Apply: n.applyScripts, Logger: n.config.Logger})
	if err != nil {
		return err
	}
	n.onClose(f.Close)
	n.alongside(f.Run)
	return nil
}
