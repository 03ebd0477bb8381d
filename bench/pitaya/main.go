// Command pitaya measures a request's round trip through Wind (client, gateway, NATS, service) and through Pitaya
// (client, connector, NATS, room), in turns, in one run. README.md says how to run it and how it keeps the comparison fair.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ferris1/wind/bench"
	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
)

// windRole, as the first argument, makes this program act as wind with the echo service. It starts its servers that way.
const windRole = "wind"

// pinnedVar is set in the environment once the load generator is pinned to its core.
const pinnedVar = "WIND_BENCH_PINNED"

type options struct {
	seconds, rounds, connections, payload int
	depths                                []int
	script                                bool
	pitaya, route                         string
	pids                                  []int // of Pitaya's cluster
	serverCore, loadCore                  int
	json                                  bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == windRole {
		os.Exit(cmd.Run(arena.Game, os.Args[2:], os.Stdout, os.Stderr, cmd.WithServices(bench.Echo()), cmd.WithScripts(bench.EchoScripts(), "")))
	}
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		if err != flag.ErrHelp {
			fmt.Fprintln(os.Stderr, "pitaya:", err)
		}
		os.Exit(2)
	}
	pinned := pin(o.loadCore)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := compare(ctx, o, pinned)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pitaya:", err)
		os.Exit(1)
	}
	if o.json {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		_, err = io.WriteString(os.Stdout, r.text())
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "pitaya:", err)
		os.Exit(1)
	case !r.Pass:
		os.Exit(3)
	}
}

func parse(args []string, errors io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("pitaya", flag.ContinueOnError)
	f.SetOutput(errors)
	var depths, handler, pids string
	f.IntVar(&o.seconds, "seconds", 10, "how long each measurement takes, at most 60")
	f.IntVar(&o.rounds, "rounds", 2, "how often each side is measured at each depth, in turns; the median counts")
	f.IntVar(&o.connections, "connections", 100, "client connections")
	f.IntVar(&o.payload, "payload", 64, "bytes of a request's body and of its answer's")
	f.StringVar(&depths, "depths", "1,16", "requests under way on each connection, comma-separated")
	f.StringVar(&handler, "handler", "go", "language of Wind's handler: go or star")
	f.StringVar(&o.pitaya, "pitaya", "", "address of a frontend server of a Pitaya cluster on this machine (default: measure Wind alone)")
	f.StringVar(&o.route, "route", "room.room.echo", "route of a handler in the cluster's backend servers that echoes a request's bytes")
	f.StringVar(&pids, "pids", "", "ids of the cluster's processes, including NATS and etcd, comma-separated, to measure their processor time")
	f.IntVar(&o.serverCore, "server-core", 0, "core of all servers; -1: any")
	f.IntVar(&o.loadCore, "load-core", 1, "core of the load generator; -1: any")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.depths, err = numbers(depths, 1024); err != nil || o.depths == nil {
		return o, fmt.Errorf("--depths %q: want numbers from 1 to 1024", depths)
	}
	if o.pids, err = numbers(pids, 1<<22); err != nil {
		return o, fmt.Errorf("--pids %q: want process ids", pids)
	}
	o.script = handler == "star"
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: only flags are allowed", f.Arg(0))
	case handler != "go" && handler != "star":
		return o, fmt.Errorf("--handler %q is neither go nor star", handler)
	case o.seconds < 1 || o.seconds > 60 || o.rounds < 1 || o.rounds > 100:
		return o, fmt.Errorf("--seconds %d, --rounds %d: want 1 to 60, 1 to 100", o.seconds, o.rounds)
	case o.connections < 1 || o.connections > 10_000 || o.payload < 4 || o.payload > 1024:
		return o, fmt.Errorf("--connections %d, --payload %d: want 1 to 10000, 4 to 1024", o.connections, o.payload)
	case o.pitaya != "" && !loopback(o.pitaya):
		return o, fmt.Errorf("--pitaya %s is not on the loopback: both sides are measured on one machine", o.pitaya)
	}
	return o, nil
}

// numbers parses comma-separated numbers from 1 to most.
func numbers(text string, most int) (all []int, err error) {
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%q is not a number from 1 to %d", one, most)
		}
		all = append(all, n)
	}
	return all, nil
}

func loopback(addr string) bool {
	host, _, ok := strings.Cut(addr, ":")
	return ok && (host == "127.0.0.1" || host == "localhost")
}

// pin restarts this program on a core if it can. It reports whether the program runs on that core.
func pin(core int) bool {
	if os.Getenv(pinnedVar) != "" {
		return true
	}
	self, err := os.Executable()
	if core < 0 || err != nil {
		return false
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return false
	}
	c := strconv.Itoa(core)
	if exec.Command(taskset, "-c", c, "true").Run() != nil {
		return false // the core does not exist
	}
	_ = syscall.Exec(taskset, append([]string{taskset, "-c", c, self}, os.Args[1:]...), append(os.Environ(), pinnedVar+"="+c))
	return false
}

// onCore returns a command that runs this program as wind on a core.
func onCore(ctx context.Context, core int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argv := append([]string{self, windRole}, args...)
	if core >= 0 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(core)}, argv...)
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	return c, nil
}
