package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/systems/script"
)

// drainTimeout bounds how long a stop waits for running handlers.
const drainTimeout = 10 * time.Second

// instance is a service that runs in this process.
type instance struct {
	config  Service
	id      string
	own     []script.Module // the scripts that it came with
	logger  *slog.Logger
	scripts *reload.Instance
	service *service.Service
	served  *bus.Served
	entry   *etcd.Registration
	ready   chan struct{} // closed when all of the above are set
	sharing sync.Mutex    // one change of share at a time
}

// startServices starts an instance of each service that the configuration names.
func (n *Node) startServices(ctx context.Context) error {
	n.mu.Lock()
	n.instances, n.gateway = nil, nil // left by a failed start
	n.mu.Unlock()
	for _, s := range n.config.Services {
		if err := n.startService(ctx, s); err != nil {
			return fmt.Errorf("service %s: %w", s.Type, err)
		}
	}
	return n.seeInstances(ctx)
}

// seeInstances waits until the directory knows the instances of this process, so that a gateway that starts afterwards
// does not turn clients away.
func (n *Node) seeInstances(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for _, i := range n.instances {
		for !n.cluster.Directory.Alive(i.config.Type, i.id) {
			select {
			case <-look.C:
			case <-ctx.Done():
				return fmt.Errorf("service %s: instance %s is registered but does not appear in the directory: %w", i.config.Type, i.id, ctx.Err())
			}
		}
	}
	return nil
}

func (n *Node) startService(ctx context.Context, s Service) error {
	c := n.config
	modules, err := script.ReadFolder(c.Scripts, s.Type)
	if err != nil {
		return err
	}
	i := &instance{config: s, id: n.instanceID(s.Type), own: modules, logger: c.Logger.With("service", s.Type, "instance", n.instanceID(s.Type)), ready: make(chan struct{})}
	if err := n.vacant(ctx, s.Type, i.id); err != nil {
		return err
	}
	store, err := jetstream.OpenKV(ctx, n.cluster.NATS, c.Cluster, "store-"+s.Type, jetstream.KVOptions{Replicas: c.Replicas})
	if err != nil {
		return err
	}
	config, err := s.config(i.id, modules, c.Logger)
	if err != nil {
		return err
	}
	config.Store, config.Bus, config.Takes, config.Logger = store, n.cluster.Bus, n.cluster.takes, i.logger
	config.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"instance": i.id}, n.registry)
	if i.scripts, err = n.startScripts(ctx, i, config); err != nil {
		return err
	}
	if err := n.distinct(i); err != nil {
		return err
	}
	if i.served, err = n.cluster.Bus.Serve(bus.ServeConfig{Type: s.Type, ID: i.id, Handler: i.service, Admin: i.admin, Version: ThisBuild(c.Game).ID}); err != nil {
		return err
	}
	if i.entry, err = n.member.Register(ctx, discovery.Instance{
		Type: s.Type, ID: i.id, Node: c.ID, State: discovery.Up, Capacity: s.Capacity, Selector: s.Selector, Language: "go", Methods: methods(i.service),
	}); err != nil {
		return err
	}
	close(i.ready)
	n.alongside(func(ctx context.Context) { i.report(ctx, n.cluster.Directory, &n.conditions) })
	n.yields(i.entry)
	if !c.Insist { // otherwise the folder decides
		n.alongside(i.scripts.Follow)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instances = append(n.instances, i)
	return nil
}

// vacant waits until no living process has an instance's id.
func (n *Node) vacant(ctx context.Context, serviceType, id string) error {
	n.awaits("")
	defer n.awaits(shard.AwaitsNATS)
	return n.member.Vacant(ctx, serviceType, id)
}

// scriptsBucket stores the modules that reloads have put in force; package reload documents its keys.
const scriptsBucket = "scripts"

// startScripts creates the instance's service with the scripts in force, or with its own if it insists.
func (n *Node) startScripts(ctx context.Context, i *instance, config service.Config) (*reload.Instance, error) {
	kept, err := jetstream.OpenKV(ctx, n.cluster.NATS, n.config.Cluster, scriptsBucket, jetstream.KVOptions{Replicas: n.config.Replicas})
	if err != nil {
		return nil, err
	}
	scripts, err := reload.Start(ctx, reload.InstanceConfig{
		Type: i.config.Type, ID: i.id, Modules: config.Scripts, Store: kept, Insist: n.config.Insist, Logger: config.Logger,
		Make: func(modules []script.Module) (reload.Runtime, error) {
			config.Scripts = modules
			i.service, err = newService(config)
			return i.service, err
		},
	})
	if i.service != nil {
		n.onClose(i.close)
	}
	return scripts, err
}

// distinct returns an error if another type of service uses an id of the instance's messages for another message: players'
// requests would reach the wrong one.
func (n *Node) distinct(i *instance) error {
	mine := map[uint32]string{}
	for _, m := range i.service.Methods() {
		if m.ID != 0 {
			mine[m.ID] = m.Name
		}
	}
	for _, t := range n.cluster.Directory.Types() {
		for _, other := range n.cluster.Directory.Instances(t) {
			for _, m := range other.Methods {
				if name, both := mine[m.ID]; both && t != i.config.Type && name != m.Name {
					return fmt.Errorf("%s has the id %d, which %s of service %s (instance %s) has already: give it another id", name, m.ID, m.Name, t, other.ID)
				}
			}
		}
	}
	return nil
}

// methods returns the messages that a service handles for clients, in the form of its directory entry.
func methods(s *service.Service) (all []discovery.Method) {
	for _, m := range s.Methods() {
		all = append(all, discovery.Method(m))
	}
	return all
}

// report updates the instance's directory entry once a second with its number of players. While a handler hangs, it
// reports what hangs, leaves the requests that any instance may answer to others, and raises a condition of the node.
func (i *instance) report(ctx context.Context, directory *discovery.Directory, conditions *shard.Conditions) {
	hung := ""
	every(ctx, time.Second, func() {
		stall := i.service.Stalled()
		if stall != nil {
			what := fmt.Sprintf("service %s, instance %s: %s", i.config.Type, i.id, stall)
			conditions.Raise(shard.Hung, true, shard.Sentence(shard.Hung, "", what))
			hung = stall.String()
		} else if hung != "" {
			conditions.Clear(shard.Hung)
			hung = ""
		}
		if err := i.share(ctx); err != nil && ctx.Err() == nil {
			i.logger.Warn("cannot join or leave the queue of requests that any instance may answer", "hangs", hung != "", "error", err)
		}
		players, ok := directory.Bound(GatewayType, i.config.Type, i.id)
		if !ok { // without a gateway to count sessions, count recent players
			players = i.service.Stats().Players
		}
		handles := methods(i.service) // a reload may have changed them
		i.entry.Update(func(e *discovery.Instance) { e.Players, e.Methods, e.Hung = players, handles, hung })
	})
}

// every calls f once per pause until ctx ends.
func every(ctx context.Context, pause time.Duration, f func()) {
	next := time.NewTicker(pause)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// enter changes the instance's state. While it drains it gets no new players, and those bound to it stay.
func (i *instance) enter(state discovery.State) {
	i.entry.Update(func(e *discovery.Instance) { e.State = state })
}

// share lets the instance answer its share of the requests that any instance may answer, unless it drains or hangs: then
// others answer them.
func (i *instance) share(ctx context.Context) error {
	i.sharing.Lock()
	defer i.sharing.Unlock()
	if i.entry.Instance().State != discovery.Draining && i.service.Stalled() == nil {
		return i.served.Undrain()
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	return i.served.Drain(ctx)
}

// close drains the instance and removes it. First no new players are assigned, and requests that still arrive are
// refused, so that their gateway sends them elsewhere. Then running handlers finish. Only then the entry leaves the
// directory: gateways expect no answers from an instance that is not in it.
func (i *instance) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var errs []error
	if i.entry != nil {
		i.enter(discovery.Draining)
	}
	if i.served != nil {
		errs = append(errs, i.served.Drain(ctx))
	}
	errs = append(errs, i.service.Close(ctx))
	if i.entry != nil {
		errs = append(errs, i.entry.Close())
	}
	if i.served != nil {
		errs = append(errs, i.served.Close(ctx))
	}
	return errors.Join(errs...)
}

// instanceID returns the id of this process's instance of a type: the configured one, or type and node.
func (n *Node) instanceID(serviceType string) string {
	if n.config.Instance != "" {
		return n.config.Instance
	}
	id := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, serviceType+"-"+n.config.ID)
	return id[:min(len(id), ecs.MaxLongName)]
}

// InstanceInfo describes an instance that a node runs.
type InstanceInfo struct {
	Type, ID string
	Stats    service.Stats
}

// Instances returns the service instances that run in this process.
func (n *Node) Instances() []InstanceInfo {
	all := make([]InstanceInfo, len(n.instances))
	for k, i := range n.instances {
		all[k] = InstanceInfo{Type: i.config.Type, ID: i.id, Stats: i.service.Stats()}
	}
	return all
}
