package node

import (
	"context"
	"fmt"
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
	var ids []string
	for _, n := range nodes {
		ids = append(ids, n.Node)
	}
	alone := c.withoutNode(ids)
	switch i := slices.IndexFunc(alone, func(i discovery.Instance) bool { return i.Node == id }); {
	case slices.Contains(ids, id):
		err = c.Bus.StopNode(ctx, id)
	case i >= 0:
		_, err = c.Bus.Admin(ctx, alone[i].Type, alone[i].ID, "stop", nil)
	default:
		for _, i := range alone {
			ids = append(ids, i.Node)
		}
		slices.Sort(ids)
		return fmt.Errorf("cluster %s has no node %s; it has: %s", c.Name, id, strings.Join(slices.Compact(ids), ", "))
	}
	if err != nil {
		return err
	}
	return c.awaitLeft(ctx, id)
}

// withoutNode returns the instances of processes that are not Wind nodes: services in another language.
func (c *Cluster) withoutNode(nodes []string) (all []discovery.Instance) {
	for _, t := range c.Directory.Types() {
		for _, i := range c.Directory.Instances(t) {
			if !slices.Contains(nodes, i.Node) {
				all = append(all, i)
			}
		}
	}
	return all
}

// awaitLeft waits until a process that was told to stop has left the cluster. A stopping dev process takes its own etcd
// server with it.
func (c *Cluster) awaitLeft(ctx context.Context, id string) error {
	for {
		nodes, err := etcd.Nodes(ctx, c.Etcd, c.Name)
		if ctx.Err() != nil {
			return fmt.Errorf("node %s was told to stop but is still running: %w", id, ctx.Err())
		}
		if err != nil && !c.NATS.Connected() {
			return nil
		}
		there := slices.ContainsFunc(nodes, func(n etcd.NodeInfo) bool { return n.Node == id })
		for _, i := range c.withoutNode(nil) {
			there = there || i.Node == id
		}
		if err == nil && !there {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(stopPoll):
		}
	}
}
