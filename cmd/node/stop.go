package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// stopPoll is how often StopNode checks whether a process is still registered.
const stopPoll = 50 * time.Millisecond

// StopNode ends a process of the cluster as SIGTERM does, on any machine and system, and returns when it has left the
// cluster. A service in another language counts as a node with its instance's name.
func (c *Cluster) StopNode(ctx context.Context, id string) error {
	nodes, err := etcd.Nodes(ctx, c.Etcd, c.Name)
	if err != nil {
		return err
	}
	running := c.entries(nodes)
	if len(running[id]) == 0 {
		return c.noNode(id, slices.Sorted(maps.Keys(running)))
	}
	if isNode := slices.ContainsFunc(nodes, func(n etcd.NodeInfo) bool { return n.Node == id }); isNode {
		err = c.Bus.StopNode(ctx, id)
	} else {
		i := c.instance(func(i *discovery.Instance) bool { return i.Node == id })
		_, err = c.Bus.Admin(ctx, i.Type, i.ID, "stop", nil)
	}
	if err != nil {
		return err
	}
	return c.awaitLeft(ctx, id, running[id])
}

// noNode returns the error for a node that does not run.
func (c *Cluster) noNode(id string, all []string) error {
	if i := c.instance(func(i *discovery.Instance) bool { return i.ID == id }); i != nil {
		return fmt.Errorf("cluster %s has no node %s: that is an instance of %s, which runs on node %s: stop that node", c.Name, id, i.Type, i.Node)
	}
	if len(all) == 0 {
		return fmt.Errorf("cluster %s has no node %s: none runs", c.Name, id)
	}
	return fmt.Errorf("cluster %s has no node %s; it has %s", c.Name, id, strings.Join(all, ", "))
}

// instance returns the first instance that matches, or nil.
func (c *Cluster) instance(match func(*discovery.Instance) bool) *discovery.Instance {
	for _, t := range c.Directory.Types() {
		for _, i := range c.Directory.Instances(t) {
			if match(&i) {
				return &i
			}
		}
	}
	return nil
}

// entry is a process's entry in the cluster: as a node, or as an instance of a service.
type entry struct {
	kind, id string
	since    int64 // Unix time in ns: another process under the same name has another one
}

// entries returns the entries of the processes that run, by the names of their nodes. A service in another language is not a
// node and has only those of its instances.
func (c *Cluster) entries(nodes []etcd.NodeInfo) map[string][]entry {
	all := map[string][]entry{}
	for _, n := range nodes {
		all[n.Node] = append(all[n.Node], entry{"", n.Node, n.Since.UnixNano()})
	}
	for _, t := range c.Directory.Types() {
		for _, i := range c.Directory.Instances(t) {
			all[i.Node] = append(all[i.Node], entry{t, i.ID, i.Since.UnixNano()})
		}
	}
	return all
}

// awaitLeft waits until a process that was told to stop has left the cluster, even if another one has begun under its name. A
// stopping dev process takes its own etcd server with it.
func (c *Cluster) awaitLeft(ctx context.Context, id string, entries []entry) error {
	for {
		nodes, err := etcd.Nodes(ctx, c.Etcd, c.Name)
		if ctx.Err() != nil {
			return fmt.Errorf("node %s was told to stop but is still running: %w", id, ctx.Err())
		}
		if err != nil && !c.NATS.Connected() {
			return nil
		}
		now := c.entries(nodes)[id]
		if err == nil && !slices.ContainsFunc(entries, func(e entry) bool { return slices.Contains(now, e) }) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(stopPoll):
		}
	}
}
