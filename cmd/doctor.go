package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/shard"
)

// finding is one line of the doctor's report.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
}

func (a *app) doctor() *cobra.Command {
	f := &nodeFlags{}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine and configuration guarantee, and what prevents a start",
		Long: `Checks the ports, the data directory, the disk, the servers and the game, and states which durability the configuration
gives: after a process crash, after a power loss, after the loss of a node. If nodes, services or gateways run, it
reports what keeps each of them from serving and what to do about it, as /healthz does. It compares what the servers hold
with the flags and the game: the tick rate, the components, the space, the copies.

Exits with 1 if something keeps one of them from serving, or if a node could not start. It starts nothing and leaves
nothing behind.`,
		Example: "  wind doctor --data ./wind-data\n  wind doctor --nats nats://10.0.0.5:4222 --etcd http://10.0.0.5:2379 --replicas 3",
	}
	f.add(c.Flags(), a)
	f.addServers(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if err := f.places(); err != nil {
			return err
		}
		findings := a.examine(ctx, f)
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

func (a *app) examine(ctx context.Context, f *nodeFlags) []finding {
	r := &report{spell: a.self.spell}
	b := node.ThisBuild(a.game)
	r.say("build", "ok", "%s, %s %s/%s %s", b.ID, b.GoVersion, b.GOOS, b.GOARCH, b.GOAMD64)
	if _, err := ecs.SchemaOf(a.game, ecs.Config{}); err != nil {
		r.say("game", "fail", "game %s cannot be set up: %v", a.game.Name, err)
	} else {
		r.say("game", "ok", "%s, %s per second, schema %016x", a.game.Name, plural(a.game.TickRate, "tick"), b.SchemaHash)
	}
	if n := runtime.NumCPU(); n < 2 {
		r.say("processors", "warn", "1: the tick loop shares it with the network and the log; give a node 2 or more")
	} else {
		r.say("processors", "ok", "%d", n)
	}
	switch {
	case f.nats != "" && f.etcd != "":
		r.examineServers(ctx, f)
		r.examineCluster(ctx, f, f.etcd)
		r.examineLive(ctx, a, f, f.nats)
		r.examinePorts(f)
	default:
		r.examineData(ctx, a, f)
	}
	r.examineDurability(f)
	return r.findings
}

// examineData checks a data directory, and the node that runs on it, or else what a node would find there.
func (r *report) examineData(ctx context.Context, a *app, f *nodeFlags) {
	r.examineDisk(f)
	switch urls, err := node.Running(f.data); {
	case errors.Is(err, node.ErrStopped):
		r.examinePorts(f)
		r.examineStopped(ctx, a, f)
	case err != nil:
		r.say("data directory", "fail", "%v", err)
	default:
		r.say("data directory", "ok", "a node runs on %s", f.data)
		r.examineCluster(ctx, f, urls.Etcd)
		r.examineLive(ctx, a, f, urls.NATS)
	}
}

// examinePorts checks that a node could listen. In a cluster of services and gateways alone, nobody uses the default ports of
// a shard's node.
func (r *report) examinePorts(f *nodeFlags) {
	for _, l := range []struct{ flag, network, addr string }{{"udp", "udp", f.udp}, {"tcp", "tcp", f.tcp}, {"http", "tcp", f.http}} {
		if l.addr == "" || r.crowd && !f.gives(l.flag) {
			continue
		}
		if id := r.listens[l.addr]; id != "" {
			r.say("--"+l.flag, "ok", "node %s listens on %s", id, l.addr)
			continue
		}
		if err := probe(l.network, l.addr); err != nil {
			r.say("--"+l.flag, "fail", "%s cannot be opened (%v): stop the process that uses it, or name another with --%s", l.addr, err, l.flag)
		} else {
			r.say("--"+l.flag, "ok", "%s is free", l.addr)
		}
	}
}

func probe(network, addr string) error {
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// With less free space than these, in bytes, a store's file system is nearly too full for a node, or too full.
const (
	littleSpace = 1 << 30
	noSpace     = 16 << 20
)

// examineDisk checks the file system of an embedded store, whether the store exists yet or not.
func (r *report) examineDisk(f *nodeFlags) {
	dir, err := existing(f.data)
	if err != nil {
		r.say("data directory", "fail", "%s: %v: name another with --data", f.data, err)
		return
	}
	free, err := freeBytes(dir)
	space := fmt.Sprintf("%s, %.1f GiB free", f.data, float64(free)/(1<<30))
	switch {
	case err != nil:
		space = f.data
	case free < noSpace:
		r.say("data directory", "fail", "%s: %s", shard.DiskFull, shard.Sentence(shard.DiskFull, f.shard, fmt.Sprintf("the file system of %s has %d KiB free", f.data, free>>10)))
		return
	}
	if err := writable(dir); err != nil {
		r.say("data directory", "fail", "%s: %s", shard.ReadOnly, shard.Sentence(shard.ReadOnly, f.shard, fmt.Sprintf("%s cannot be written to (%v)", f.data, err)))
		return
	}
	status := "ok"
	if err == nil && free < littleSpace {
		status = "warn"
	}
	r.say("data directory", status, "%s", space)
}

// examineServers checks that something answers at the URLs of NATS and etcd.
func (r *report) examineServers(ctx context.Context, f *nodeFlags) {
	for _, s := range []struct {
		flag, url string
		condition shard.ConditionKind
	}{{"nats", f.nats, shard.AwaitsNATS}, {"etcd", f.etcd, shard.AwaitsEtcd}} {
		if err := dialURL(ctx, s.url); err != nil {
			r.say("--"+s.flag, "fail", "%s: %s", s.condition, shard.Sentence(s.condition, f.shard, err.Error()))
		} else {
			r.say("--"+s.flag, "ok", "answers")
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

// existing returns dir, or the nearest folder above it that exists.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is a file", dir)
		}
		if err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", err
		}
		dir = parent
	}
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".wind-doctor-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// dialURL opens and closes a TCP connection to the first server of a comma-separated list.
func dialURL(ctx context.Context, urls string) error {
	addr, _, _ := strings.Cut(urls, ",")
	if i := strings.Index(addr, "://"); i >= 0 {
		addr = addr[i+3:]
	}
	if i := strings.LastIndex(addr, "@"); i >= 0 {
		addr = addr[i+1:]
	}
	d := net.Dialer{Timeout: 3 * time.Second}
	c, err := d.DialContext(ctx, "tcp", strings.TrimSuffix(addr, "/"))
	if err != nil {
		return fmt.Errorf("%s does not answer (%w)", addr, err)
	}
	return c.Close()
}
