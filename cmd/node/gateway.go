package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// Gateway configures a gateway.
type Gateway struct {
	// Authenticator determines who logs in. With nil the gateway trusts the player that the login message names, which
	// is only for development.
	Authenticator gateway.Authenticator
	Routes        map[string]string             // message → service type; overrides the directory
	Rate          int                           // frames per second of one connection; 0: 2,000, negative: no limit
	Files         []protoreflect.FileDescriptor // messages that it knows besides those in the binary
	Origins       []string                      // hosts whose pages may open a WebSocket, besides the gateway's own
}

// GatewayType is the service type under which gateways register.
const GatewayType = gateway.Type

// playersBucket stores each player's record: the player's session and the instances that work for the player.
const playersBucket = "players"

// startGateway opens the front door to clients that speak RPC.
func (n *Node) startGateway(ctx context.Context) error {
	c := n.config
	bindings, err := jetstream.OpenKV(ctx, n.cluster.NATS, c.Cluster, playersBucket, jetstream.KVOptions{Replicas: c.Replicas})
	if err != nil {
		return err
	}
	key, err := n.ticketKey(ctx)
	if err != nil {
		return err
	}
	id := n.instanceID(GatewayType)
	routes := newRouter(n.cluster.Directory)
	n.onClose(func() error { routes.close(); return nil })
	auth := c.Gateway.Authenticator
	if auth == nil {
		auth = gateway.TrustField("player_id")
	}
	g, err := gateway.New(gateway.Config{
		ID: id, Directory: routes, Link: n.cluster.Bus, Bindings: bindings, Authenticator: auth, Routes: c.Gateway.Routes, Files: c.Gateway.Files,
		Tickets: gateway.Tickets{Key: key, Shards: n.cluster}, Logger: c.Logger, Registerer: n.registry,
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.gateway, n.gatewayID = g, id
	n.mu.Unlock()
	n.onClose(func() error { g.Close(); return nil })
	if err := n.cluster.Bus.Players(g.Push); err != nil {
		return err
	}
	if err := n.vacant(ctx, GatewayType, id); err != nil {
		return err
	}
	entry, err := n.member.Register(ctx, discovery.Instance{
		Type: GatewayType, ID: id, Node: c.ID, State: discovery.Up, Language: "go",
		Addresses: map[string]string{"tcp": n.TCPAddr(), "udp": n.UDPAddr(), "http": n.HTTPAddr()},
	})
	if err != nil {
		return err
	}
	n.onClose(entry.Close)
	n.yields(entry)
	n.alongside(func(ctx context.Context) {
		every(ctx, time.Second, func() {
			players, bound := g.Stats().Players, map[string]int{}
			for at, n := range g.Bound() {
				bound[at.Type+"/"+at.ID] = n
			}
			entry.Update(func(e *discovery.Instance) { e.Players, e.Bound = players, bound })
			n.tellConflicts(routes.Conflicts())
		})
	})
	n.tellRoutes()
	n.door.SetTicketKey(key)
	n.door.SetGateway(g)
	n.onClose(n.door.Close) // close its connections before the gateway
	return nil
}

// tellRoutes warns of routes to services without an instance: one may come, or the name may be a slip.
func (n *Node) tellRoutes() {
	for _, message := range slices.Sorted(maps.Keys(n.config.Gateway.Routes)) {
		to := n.config.Gateway.Routes[message]
		if len(n.cluster.Directory.Instances(to)) > 0 {
			continue
		}
		n.config.Logger.Warn(fmt.Sprintf("--route %s=%s: no instance of service %s runs yet, and requests fail until one does", message, to, to), "running", n.cluster.Services())
	}
}

// tellConflicts raises a condition while services disagree about a message that the configuration leaves to them.
func (n *Node) tellConflicts(all []gateway.Conflict) {
	for _, c := range all {
		_, decided := n.config.Gateway.Routes[c.Route.Method.Name]
		if decided && c.Route.Method.Name == c.Other.Method.Name {
			continue
		}
		n.conditions.Raise(shard.Conflict, false, shard.Sentence(shard.Conflict, "", c.String()))
		return
	}
	n.conditions.Clear(shard.Conflict)
}

// ticketKey returns the cluster's key for tickets.
func (n *Node) ticketKey(ctx context.Context) (key []byte, err error) {
	n.mu.Lock()
	key = n.tickets
	n.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if key, err = etcd.SharedKey(ctx, n.cluster.Etcd, n.config.Cluster, "ticket-key"); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.tickets = key
	n.mu.Unlock()
	return key, nil
}

// GatewayID returns the id of this node's gateway, or "" without one.
func (n *Node) GatewayID() string { return n.gatewayID }

// GatewayStats returns the statistics of this node's gateway, or zeros without one.
func (n *Node) GatewayStats() gateway.Stats {
	if n.gateway == nil {
		return gateway.Stats{}
	}
	return n.gateway.Stats()
}

// router implements gateway.Directory on a cluster's directory.
type router struct {
	gateway.Routes
	directory *discovery.Directory
	cancel    func()
}

func newRouter(d *discovery.Directory) *router {
	r := &router{directory: d}
	r.cancel = d.Watch(func(c discovery.Change) { r.learn(c.Instance, c.Kind == discovery.Left) })
	for _, t := range d.Types() {
		for _, i := range d.Instances(t) {
			r.learn(i, false)
		}
	}
	return r
}

// learn updates the routing table with the messages that an instance handles for clients, or removes them if it has
// left.
func (r *router) learn(i discovery.Instance, left bool) {
	if left {
		r.Drop(i.Type, i.ID)
		return
	}
	methods := make([]rpc.Method, len(i.Methods))
	for k, m := range i.Methods {
		methods[k] = rpc.Method(m)
	}
	r.Set(i.Type, i.ID, i.Since, methods)
}

func (r *router) close() { r.cancel() }

// Pick implements gateway.Directory.
func (r *router) Pick(serviceType, key, home, except string) (string, bool) {
	return r.directory.Place(serviceType, discovery.Player{Key: key, Home: home, Except: except})
}

// Leave implements gateway.Directory.
func (r *router) Leave(serviceType, instance string) { r.directory.Leave(serviceType, instance) }

// Look implements gateway.Directory.
func (r *router) Look(serviceType, instance string) gateway.Standing {
	i, ok := r.directory.Instance(serviceType, instance)
	return gateway.Standing{Alive: ok, Draining: ok && i.State == discovery.Draining}
}

// Takes implements gateway.Directory.
func (r *router) Takes(serviceType, instance string, f rpc.Format) bool {
	return r.directory.Takes(serviceType, instance, f.String())
}

// Watch implements gateway.Directory.
func (r *router) Watch(f func(serviceType, instance string, left bool)) (cancel func()) {
	return r.directory.Watch(func(c discovery.Change) { f(c.Instance.Type, c.Instance.ID, c.Kind == discovery.Left) })
}

// Locate implements gateway.Shards: it returns the addresses of the node that owns a shard.
func (c *Cluster) Locate(ctx context.Context, name string) (udp, tcp string, err error) {
	shard, err := etcd.Look(c.Etcd, c.Name, name)
	if err != nil {
		return "", "", rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	standing, err := shard.Read(ctx)
	if err != nil {
		return "", "", err
	}
	if standing.Owner == "" {
		return "", "", rpc.Errorf(rpc.Unavailable, "no node serves shard %.40q now", name)
	}
	nodes, err := etcd.Nodes(ctx, c.Etcd, c.Name)
	if err != nil {
		return "", "", err
	}
	for _, n := range nodes {
		if n.Node == standing.Owner {
			return n.Addresses["udp"], n.Addresses["tcp"], nil
		}
	}
	return "", "", fmt.Errorf("node %s owns shard %s but is not registered", standing.Owner, name)
}
