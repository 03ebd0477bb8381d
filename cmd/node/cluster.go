package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// Cluster is a connection to the servers that a cluster's nodes share, NATS and etcd, and the facilities built on them.
// Its parts may be used concurrently.
type Cluster struct {
	Name      string
	NATS      *jetstream.Conn
	Etcd      *etcd.Client
	Bus       *bus.Bus
	Directory *discovery.Directory

	closers []func() error
}

// Connect connects to servers in other processes. natsURL must contain the nodes' password; etcdURLs is comma-separated.
func Connect(ctx context.Context, name, natsURL, etcdURLs string, logger *slog.Logger) (*Cluster, error) {
	conn, err := dialNATS(ctx, natsURL, logger)
	if err != nil {
		return nil, err
	}
	return connect(ctx, name, conn, strings.Split(etcdURLs, ","), logger)
}

// Observe is like Connect for whoever only looks: natsURL needs no password, and nothing that the cluster's Bus sends arrives.
func Observe(ctx context.Context, name, natsURL, etcdURLs string, logger *slog.Logger) (*Cluster, error) {
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: natsURL, ReadOnly: true, Logger: logger})
	if err != nil {
		return nil, Unconnected(err)
	}
	return connect(ctx, name, conn, strings.Split(etcdURLs, ","), logger)
}

func dialNATS(ctx context.Context, url string, logger *slog.Logger) (*jetstream.Conn, error) {
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: url, Logger: logger})
	return conn, Unconnected(err)
}

// Unconnected adds the way out to an error of jetstream.Connect.
func Unconnected(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrRefused):
		return fmt.Errorf("%w: give --nats the URL with the nodes' password, which infra or dev has written into %s in its data directory", err, urlsFile)
	}
	return fmt.Errorf("%w: start it (wind infra), or name another with --nats", err)
}

// connect returns a cluster on a connection to NATS, which it takes over.
func connect(ctx context.Context, name string, conn *jetstream.Conn, etcdURLs []string, logger *slog.Logger) (*Cluster, error) {
	c := &Cluster{Name: name, NATS: conn}
	c.onClose(func() error { conn.Close(); return nil })
	if err := c.open(ctx, etcdURLs, logger); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) open(ctx context.Context, etcdURLs []string, logger *slog.Logger) (err error) {
	if c.Etcd, err = etcd.Dial(ctx, etcdURLs...); err != nil {
		return fmt.Errorf("%w: start it (wind infra), or name another with --etcd", err)
	}
	c.onClose(c.Etcd.Close)
	services, err := etcd.Services(c.Etcd, c.Name)
	if err != nil {
		return err
	}
	if c.Directory, err = discovery.Follow(ctx, services, logger); err != nil {
		return err
	}
	c.onClose(func() error { c.Directory.Close(); return nil })
	if c.Bus, err = bus.Open(bus.Config{Conn: c.NATS.NATS(), Cluster: c.Name, Logger: logger, Any: c.Directory.Any, Heard: c.Directory.Heard}); err != nil {
		return err
	}
	unwatch := c.Directory.Watch(func(x discovery.Change) {
		if x.Kind == discovery.Left {
			c.Bus.Gone(x.Instance.Type, x.Instance.ID)
		}
	})
	c.onClose(func() error { unwatch(); c.Bus.Close(); return nil })
	return nil
}

func (c *Cluster) onClose(f func() error) { c.closers = append(c.closers, f) }

// Close closes everything that was opened, newest first.
func (c *Cluster) Close() (err error) {
	for i := len(c.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, c.closers[i]())
	}
	c.closers = nil
	return err
}

// Command sends one of the game's commands to a shard and waits until it is committed. It returns JSON.
func (c *Cluster) Command(ctx context.Context, shard, name string, value []byte) ([]byte, error) {
	tick, err := c.Bus.Command(ctx, shard, rpc.ShardCommand{Name: name, Value: value})
	if err != nil {
		return nil, fmt.Errorf("shard %s: %w", shard, err)
	}
	return fmt.Appendf(nil, `{"tick":%d}`, tick), nil
}

// Bound returns the id of the service instance that a player is bound to, or "" if none.
func (c *Cluster) Bound(ctx context.Context, serviceType, player string) (string, error) {
	bindings, err := jetstream.OpenKV(ctx, c.NATS, c.Name, playersBucket, jetstream.KVOptions{})
	if err != nil {
		return "", err
	}
	value, _, err := bindings.Get(ctx, gateway.RecordKey(player))
	if err != nil {
		return "", err
	}
	record, err := gateway.ParseRecord(value)
	return record.At[serviceType], err
}

// takes reports whether all recipients of a message accept a format.
func (c *Cluster) takes(to rpc.Address, f rpc.Format) bool {
	return c.Directory.Takes(to.Type, to.ID, f.String())
}

// ForPlayers reports whether an instance of a service handles a message from clients.
func (c *Cluster) ForPlayers(serviceType, message string) bool {
	return slices.ContainsFunc(c.Directory.Instances(serviceType), func(i discovery.Instance) bool {
		return slices.ContainsFunc(i.Methods, func(m discovery.Method) bool { return m.Name == message })
	})
}

// Explain adds a remedy to the error of a call.
func (c *Cluster) Explain(to rpc.Address, err error) error {
	all := c.Directory.Instances(to.Type)
	if len(all) == 0 {
		return fmt.Errorf("%w: %s", err, c.without(to.Type))
	}
	if e := rpc.ErrorOf(err); to.ID != "" || e.Code != rpc.Unavailable || !e.NotBegun {
		return err
	}
	var ids []string
	for _, i := range all {
		ids = append(ids, i.ID)
	}
	return fmt.Errorf("%w: all instances of %q hang or have just died (%s): start one, or name one with --id", err, to.Type, strings.Join(ids, ", "))
}

// Services returns the types of service that run, apart from the nodes' own service for rooms.
func (c *Cluster) Services() []string {
	return slices.DeleteFunc(c.Directory.Types(), func(t string) bool { return t == rpc.RoomsType })
}

// Missing returns an error that says that a service does not run, and which ones do.
func (c *Cluster) Missing(serviceType string) error { return errors.New(c.without(serviceType)) }

// without returns a message that a service does not run, with the services that do.
func (c *Cluster) without(serviceType string) string {
	types := c.Services()
	if len(types) == 0 {
		return fmt.Sprintf("no service runs in cluster %s: start one (wind service TYPE)", c.Name)
	}
	return fmt.Sprintf("no instance of %q runs in cluster %s, which has %s", serviceType, c.Name, strings.Join(types, ", "))
}

// IsShard reports whether name, the target of a reload, is an owned shard and not a service. It returns an error if
// neither has that name.
func (c *Cluster) IsShard(ctx context.Context, name string) (bool, error) {
	if len(c.Directory.Instances(name)) > 0 {
		return false, nil
	}
	missing := fmt.Errorf("%s, and no node runs a shard of that name", c.without(name))
	shard, err := etcd.Look(c.Etcd, c.Name, name)
	if err != nil {
		return false, missing // no shard can have that name
	}
	standing, err := shard.Read(ctx)
	if err != nil {
		return false, err
	}
	if standing.Owner == "" {
		return false, missing
	}
	return true, nil
}
