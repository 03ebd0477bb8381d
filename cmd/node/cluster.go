package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
)

// Cluster is a connection to the servers that the nodes of a cluster share: NATS, etcd, and what stands on them. Its
// parts may be used concurrently.
type Cluster struct {
	Name      string
	NATS      *jetstream.Conn
	Etcd      *etcd.Client
	Bus       *bus.Bus
	Directory *etcd.Directory

	closers []func() error
}

// Connect connects to servers of other processes; etcdURLs is comma-separated.
func Connect(ctx context.Context, name, natsURL, etcdURLs string, log *slog.Logger) (*Cluster, error) {
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: natsURL, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("%w: start it (wind infra), or name another with --nats", err)
	}
	return connect(ctx, name, conn, strings.Split(etcdURLs, ","), log)
}

// connect makes a cluster of a connection to NATS, which it takes over.
func connect(ctx context.Context, name string, conn *jetstream.Conn, etcdURLs []string, log *slog.Logger) (*Cluster, error) {
	c := &Cluster{Name: name, NATS: conn}
	c.onClose(func() error { conn.Close(); return nil })
	if err := c.open(ctx, etcdURLs, log); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) open(ctx context.Context, etcdURLs []string, log *slog.Logger) (err error) {
	if c.Etcd, err = etcd.Dial(ctx, etcdURLs...); err != nil {
		return fmt.Errorf("%w: start it (wind infra), or name another with --etcd", err)
	}
	c.onClose(c.Etcd.Close)
	if c.Directory, err = etcd.WatchServices(ctx, c.Etcd, c.Name, log); err != nil {
		return err
	}
	c.onClose(func() error { c.Directory.Close(); return nil })
	if c.Bus, err = bus.Open(bus.Config{Conn: c.NATS.NATS(), Cluster: c.Name, Logger: log}); err != nil {
		return err
	}
	c.onClose(func() error { c.Bus.Close(); return nil })
	return nil
}

func (c *Cluster) onClose(f func() error) { c.closers = append(c.closers, f) }

// Close closes what is open, the newest first.
func (c *Cluster) Close() (err error) {
	for i := len(c.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, c.closers[i]())
	}
	c.closers = nil
	return err
}

// Command sends a command of a game into a shard and waits until it is committed; the answer is JSON.
func (c *Cluster) Command(ctx context.Context, shard, name string, value []byte) ([]byte, error) {
	tick, err := c.Bus.Command(ctx, shard, bus.ShardCommand{Name: name, Value: value})
	if err != nil {
		return nil, fmt.Errorf("shard %s: %w", shard, err)
	}
	return fmt.Appendf(nil, `{"tick":%d}`, tick), nil
}

// Bound is the instance of a service that a player is bound to, "" when it is to none.
func (c *Cluster) Bound(ctx context.Context, serviceType, player string) (string, error) {
	bindings, err := jetstream.OpenKV(ctx, c.NATS, c.Name, playersBucket, jetstream.KVOptions{})
	if err != nil {
		return "", err
	}
	instance, _, err := bindings.Get(ctx, gateway.BindingKey(serviceType, player))
	return string(instance), err
}

// takes reports whether all that a message goes to take a format.
func (c *Cluster) takes(to rpc.Address, f rpc.Format) bool {
	return c.Directory.Takes(to.Type, to.ID, f.String())
}

// Explain adds the way out to the error of a call.
func (c *Cluster) Explain(serviceType string, err error) error {
	if len(c.Directory.Instances(serviceType)) == 0 {
		types := c.Directory.Types()
		if len(types) == 0 {
			return fmt.Errorf("%w: no service runs in cluster %s: start one (wind service TYPE)", err, c.Name)
		}
		return fmt.Errorf("%w: no instance of %q runs in cluster %s, which has %s", err, serviceType, c.Name, strings.Join(types, ", "))
	}
	return err
}
