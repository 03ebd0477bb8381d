package cmd

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
)

// finding is one line of the doctor's report.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
}

func (a *app) doctor() *cobra.Command {
	f := &doctorFlags{}
	c := &cobra.Command{
		Use:   "doctor [ROLE]",
		Short: "Say what this machine and configuration guarantee, and what prevents a start",
		Long: `Takes those steps of a start that change nothing, and fails with the sentence with which the start would end or wait: the flags,
the game, its services' scripts, the ports, the data directory, the disk, the servers and their password. ROLE is shard (the
default), gateway or service.

It states which durability the configuration gives: after a process crash, after a power loss, after the loss of a node. If
nodes, services or gateways run, it reports what keeps each of them from serving and what to do about it, as /healthz does. It
compares what the servers hold with the flags and the game: the tick rate, the components, the space, the copies.

Exits with 1 if something keeps one of them from serving, or if a node could not start. It leaves nothing behind.`,
		Example: "  wind doctor --data ./wind-data\n  wind doctor --nats nats://node:PASSWORD@10.0.0.5:4222 --etcd http://10.0.0.5:2379 --replicas 3\n  wind doctor gateway --tcp 127.0.0.1:50100",
	}
	f.add(c.Flags(), a)
	f.addServers(c.Flags())
	c.Flags().Lookup("shard").Usage = "shard that the node runs; empty: none, only rooms"
	c.Flags().StringVar(&f.scripts, "scripts", "", "folder of the game's scripts (default: those that dev reads)")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		config, err := f.trial(a, args)
		if err != nil {
			return err
		}
		findings := a.examine(ctx, f, config)
		lines, failed := make([]string, 0, len(findings)), 0
		for _, x := range findings {
			lines = append(lines, fmt.Sprintf("%-5s %-18s %s", x.Status, x.Check, x.Detail))
			if x.Status == "fail" {
				failed++
			}
		}
		if err := a.print(map[string]any{"ok": failed == 0, "findings": findings}, lines...); err != nil {
			return err
		}
		if failed > 0 {
			return fmt.Errorf("doctor: %d of %d checks failed", failed, len(findings))
		}
		return nil
	})
	return c
}

// doctorFlags are the flags of a node, and what the doctor takes it for.
type doctorFlags struct {
	nodeFlags
	role, scripts string
}

// What the doctor examines.
const (
	roleShard   = "shard"
	roleGateway = "gateway"
	roleService = "service"
)

// trial returns the configuration of the start that the doctor tries, made by the code that makes it for the start.
func (f *doctorFlags) trial(a *app, args []string) (c node.Config, err error) {
	if f.role = roleShard; len(args) > 0 {
		f.role = args[0]
	}
	f.roomsAlone = f.role == roleShard
	switch f.role {
	case roleShard, roleService:
		services := a.services
		if f.role == roleShard {
			services = a.standing()
		}
		if c, err = f.nodeFlags.config(a); err == nil {
			err = a.withScripts(&c, services, f.scripts)
		}
	case roleGateway:
		c, err = f.nodeFlags.config(a)
		c.Gateway = &node.Gateway{Authenticator: a.auth}
	default:
		return c, usagef("there is no role %q: they are %s, %s and %s", f.role, roleShard, roleGateway, roleService)
	}
	if f.role != roleShard {
		c.NoShard, c.Capacity = true, 0
	}
	if f.role == roleService {
		c.TCP, c.UDP = "", ""
	}
	if f.role != roleShard && !f.gives("http") {
		c.HTTP = ""
	}
	if f.role == roleGateway && !f.gives("udp") {
		c.UDP = ""
	}
	c.Insecure = c.Insecure || f.tls.own // the start makes the certificate, and the flags are checked: here the ports are tried without
	return c, err
}

func (a *app) examine(ctx context.Context, f *doctorFlags, c node.Config) []finding {
	r := &report{spell: a.self.spell}
	b := node.ThisBuild(a.game)
	r.say("build", "ok", "%s, %s %s/%s %s", b.ID, b.GoVersion, b.GOOS, b.GOARCH, b.GOAMD64)
	if err := c.Check(); err != nil {
		r.say("game", "fail", "%v", err)
	} else {
		r.say("game", "ok", "%s, %s per second, schema %016x", a.game.Name, plural(a.game.TickRate, "tick"), b.SchemaHash)
	}
	r.examineScripts(ctx, c)
	if n := runtime.NumCPU(); n < 2 {
		r.say("processors", "warn", "1: the tick loop shares it with the network and the log; give a node 2 or more")
	} else {
		r.say("processors", "ok", "%d", n)
	}
	if f.role == roleShard && f.archive != "" {
		if err := f.checkArchives(ctx, a); err != nil {
			r.say("archives", "fail", "%v", err)
		} else {
			r.say("archives", "ok", "rooms that ask for it go to %s", f.archive)
		}
	}
	switch {
	case f.nats != "":
		r.examineServers(ctx, a, f, c)
	case f.role != roleShard:
		u, err := (&clusterFlags{cluster: f.cluster, data: f.data}).urls()
		if err != nil {
			r.say("servers", "fail", "%v", err)
			r.examinePorts(f, c)
			break
		}
		f.nats, f.etcd, c.NATS, c.Etcd = u.NATS, u.Etcd, u.NATS, u.Etcd
		r.examineServers(ctx, a, f, c)
	default:
		r.examineData(ctx, a, f, c)
	}
	if f.role == roleShard {
		r.examineDurability(&f.nodeFlags)
	}
	return r.findings
}

// examineScripts loads the services with their scripts.
func (r *report) examineScripts(ctx context.Context, c node.Config) {
	if len(c.Services) == 0 {
		return
	}
	if err := c.CheckScripts(ctx); err != nil {
		r.say("scripts", "fail", "%v", err)
		return
	}
	r.say("scripts", "ok", "%s", plural(len(c.Services), "service"))
}

// examineServers checks servers in other processes, what runs on them, and the ports.
func (r *report) examineServers(ctx context.Context, a *app, f *doctorFlags, c node.Config) {
	err := c.CheckServers(ctx)
	if err != nil {
		r.found(f.shard, "servers", err)
	} else {
		r.say("servers", "ok", "NATS and etcd answer")
	}
	if node.Unanswered(err) != shard.AwaitsEtcd {
		r.examineCluster(ctx, &f.nodeFlags, c.Etcd)
	}
	if err == nil && f.role == roleShard {
		r.examineLive(ctx, a, &f.nodeFlags, c.NATS)
	}
	r.examinePorts(f, c)
}

// examineData checks a data directory, and the node that runs on it, or else what a node would find there.
func (r *report) examineData(ctx context.Context, a *app, f *doctorFlags, c node.Config) {
	if urls, err := node.Running(f.data); err == nil {
		r.say("data directory", "ok", "a node runs on %s", f.data)
		r.examineCluster(ctx, &f.nodeFlags, urls.Etcd)
		r.examineLive(ctx, a, &f.nodeFlags, urls.NATS)
		return
	}
	if err := c.CheckData(); err != nil {
		r.found(f.shard, "data directory", err)
		r.examinePorts(f, c)
		return
	}
	free, status := jetstream.FreeBytes(f.data), "ok"
	if free < littleSpace {
		status = "warn"
	}
	r.say("data directory", status, "%s, %.1f GiB free", f.data, float64(free)/(1<<30))
	if err := c.Embedded.CheckPorts(); err != nil {
		r.say("servers", "fail", "%v", err)
	}
	r.examinePorts(f, c)
	r.examineStopped(ctx, a, &f.nodeFlags)
}

// littleSpace is how many free bytes a store's file system should have.
const littleSpace = 1 << 30

// examinePorts checks that a node could listen. In a cluster of services and gateways alone, nobody uses the default ports of
// a shard's node.
func (r *report) examinePorts(f *doctorFlags, c node.Config) {
	for _, l := range []struct{ flag, addr string }{{"udp", c.UDP}, {"tcp", c.TCP}, {"http", c.HTTP}} {
		if l.addr == "" || r.crowd && f.role == roleShard && !f.gives(l.flag) {
			continue
		}
		if id := r.listens[l.addr]; id != "" {
			r.say("--"+l.flag, "ok", "node %s listens on %s", id, l.addr)
			continue
		}
		one := c
		one.UDP, one.TCP, one.HTTP = "", "", ""
		*map[string]*string{"udp": &one.UDP, "tcp": &one.TCP, "http": &one.HTTP}[l.flag] = l.addr
		if err := one.CheckListen(); err != nil {
			r.say("--"+l.flag, "fail", "%v", err)
		} else {
			r.say("--"+l.flag, "ok", "%s is free", l.addr)
		}
	}
}

// examineDurability reports what the configuration guarantees.
func (r *report) examineDurability(f *nodeFlags) {
	r.say("process crash", "ok", "nothing that a client saw is lost: the log had it first")
	if f.nats == "" {
		if f.embedded.sync.always {
			r.say("power loss", "ok", "nothing committed is lost: the embedded server syncs the log before each acknowledgement")
		} else {
			r.say("power loss", "warn", "up to 2 minutes of ticks can be lost: the embedded server writes the log at once but syncs it every 2 minutes; start the node with --sync always")
		}
		r.say("node loss", "warn", "the log is on this machine alone: use --nats with a cluster of three servers and --replicas 3")
	} else {
		r.say("power loss", "ok", "depends on the NATS server's sync_interval (default: up to 2 minutes of ticks can be lost; always: none)")
		switch copies, begun := r.copies.Log, r.copies.Log > 0; {
		case copies > 1:
			r.say("node loss", "ok", "the log has %d copies: nothing committed is lost while a majority of them survives", copies)
		case begun:
			r.say("node loss", "warn", "the log has one copy: what the loss of its server takes is lost; nats stream edit with --replicas 3 adds copies")
		case f.replicas > 1:
			r.say("node loss", "ok", "the log will have %d copies: nothing committed is lost while a majority of them survives", f.replicas)
		default:
			r.say("node loss", "warn", "the log will have one copy: use a cluster of three NATS servers and --replicas 3")
		}
	}
}
