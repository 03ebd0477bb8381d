package cmd

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/shard/discovery"
)

// memberFlags are the flags of a node without a shard: its servers, its name, and an address for metrics.
type memberFlags struct {
	clusterFlags
	node  nodeName
	http  string
	lease leaseTime
	span  time.Duration
}

func (f *memberFlags) add(set *pflag.FlagSet) {
	f.clusterFlags.add(set)
	set.Var(&f.node, "node", "this node's name, unique in its cluster (default: host name and process id)")
	set.StringVar(&f.http, "http", "", "address for /healthz, /metrics and, at a gateway, /ws; empty for none")
	f.lease = leaseTime(leastLease)
	set.Var(&f.lease, "lease", "how long this process may be silent before it counts as dead, 2s to 1h")
	spanFlag(set, &f.span, "how long to run")
}

// config turns the flags into a node's configuration without a shard.
func (f *memberFlags) config(a *app) (node.Config, error) {
	if err := checkAddress("--http", f.http); err != nil {
		return node.Config{}, err
	}
	u, err := f.urls()
	if err != nil {
		return node.Config{}, err
	}
	return node.Config{
		Game: a.game, Cluster: f.cluster, ID: string(f.node), NATS: u.NATS, Etcd: u.Etcd, HTTP: f.http, Lease: time.Duration(f.lease), NoShard: true,
		Logger: a.log, Spell: a.self.spell,
	}, nil
}

// serviceResult is the result that service prints when it ends.
type serviceResult struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Handled uint64 `json:"handled"`
	Failed  uint64 `json:"failed"`
}

func (a *app) service() *cobra.Command {
	f := &memberFlags{}
	var id, scripts, selector string
	var capacity int
	var watch bool
	c := &cobra.Command{
		Use:   "service TYPE",
		Short: "Run an instance of one of the game's services",
		Long: `Runs one instance of a service: it registers in etcd, receives requests over NATS, and passes them to the game's
handlers, in Go and in Starlark. Any number of instances share the work; each player is bound to one of them.

With --watch it reloads scripts that are saved in the folder of --scripts, in all instances or in none. It follows links
and mounted ConfigMaps. Several instances may watch the same content: the first to see a change reloads all.

On SIGINT or SIGTERM it drains: it gets no new players, finishes running requests, and leaves. Types in this binary:
` + a.serviceTypes() + `.`,
		Example: "  wind service game --game speak --data infra-data\n" +
			"  wind service game --game speak --id game-2 --scripts ./scripts --nats nats://node:PASSWORD@10.0.0.5:4222 --etcd http://10.0.0.5:2379",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&id, "id", "", "this instance's id, unique within its type (default: its type and the node's name)")
	c.Flags().StringVar(&scripts, "scripts", "", "folder of the game's scripts, with one folder per service type (default: the scripts in the binary)")
	c.Flags().BoolVar(&watch, "watch", false, "reload scripts when they are saved in the folder of --scripts, in all instances of the service or in none")
	c.Flags().StringVar(&selector, "selector", "", "how to balance players over the instances: "+discovery.SelectorNames+" (default: the game's choice)")
	c.Flags().IntVar(&capacity, "capacity", 0, "number of players that this instance accepts; several gateways may exceed it briefly (default: the game's choice)")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		s, err := a.serviceNamed(args[0])
		if err != nil {
			return err
		}
		config, err := f.config(a)
		if err != nil {
			return err
		}
		if capacity < 0 {
			return usagef("service: --capacity %d: want at least 1, or 0 for the game's choice", capacity)
		}
		if capacity > 0 {
			s.Capacity = capacity
		}
		if selector != "" {
			s.Selector = selector
		}
		if err := checkInstance("--id", id); err != nil {
			return err
		}
		if _, err := discovery.ParseSelector(s.Selector); err != nil {
			return usagef("service: --selector: %v", err)
		}
		config.Services, config.Instance, config.Scripts, config.Patience = []node.Service{s}, id, a.scripts, f.span
		if watch && scripts == "" {
			return usagef("service: --watch needs --scripts, the folder to watch")
		}
		if scripts != "" {
			if config.Scripts, err = scriptFolder(scripts, s.Type); err != nil {
				return err
			}
		}
		if watch {
			config.Watch = scripts
		}
		if err := a.checkServices(config.Scripts); err != nil {
			return err
		}
		relaxGC()
		n, err := node.Start(ctx, config)
		if err != nil {
			return a.unstarted(err)
		}
		i := n.Instances()[0]
		a.tell("service %s, instance %s: wind ps shows it", i.Type, i.ID)
		if watch {
			a.tell("scripts in %s: save a file there to reload its functions in all instances", scripts)
		}
		a.await(ctx, n, f.span)
		err = n.Stop()
		stats := n.Instances()[0]
		r := serviceResult{Type: stats.Type, ID: stats.ID, Handled: stats.Stats.Handled, Failed: stats.Stats.Failed}
		if printErr := a.print(r, fmt.Sprintf("%s handled, %d failed", plural(r.Handled, "request"), r.Failed)); err == nil {
			err = printErr
		}
		return err
	})
	return c
}

// await waits for span (0: until ctx ends), or until the node has ended.
func (a *app) await(ctx context.Context, n *node.Node, span time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-n.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	pause(ctx, span)
}

// serviceNamed returns the game's service of a type.
func (a *app) serviceNamed(name string) (node.Service, error) {
	for _, s := range a.services {
		if s.Type == name {
			return s, nil
		}
	}
	if len(a.services) == 0 {
		return node.Service{}, usagef("service: game %s has no services%s", a.game.Name, a.gamesWithServices())
	}
	return node.Service{}, usagef("service: game %s has no service %q; it has %s", a.game.Name, name, a.serviceTypes())
}

// gamesWithServices names the games of the binary that have services.
func (a *app) gamesWithServices() string {
	var names []string
	for _, p := range a.games {
		if len(p.services) > 0 {
			names = append(names, p.game.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": choose one that has with --game: " + strings.Join(names, " or ")
}

// serviceTypes lists the selected game's types of service.
func (a *app) serviceTypes() string {
	if len(a.services) == 0 {
		return "none (game " + a.game.Name + ")"
	}
	var names []string
	for _, s := range a.services {
		names = append(names, s.Type)
	}
	return strings.Join(names, ", ")
}

// scriptFolder opens a folder of a game's scripts, which must contain a folder for kind.
func scriptFolder(dir, kind string) (fs.FS, error) {
	if info, err := os.Stat(filepath.Join(dir, kind)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--scripts %s has no folder %s: put a service's scripts in a folder named after its type", dir, kind)
	}
	return os.DirFS(dir), nil
}

// checkServices returns an error if the game's types of service cannot all run, and warns of scripts that nothing reads.
func (a *app) checkServices(scripts fs.FS) error {
	if err := node.CheckServices(a.services); err != nil {
		return fmt.Errorf("game %s: %w", a.game.Name, err)
	}
	for _, stray := range node.StrayScripts(scripts, a.services) {
		a.log.Warn("scripts: " + stray)
	}
	return nil
}
