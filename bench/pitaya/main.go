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
	"regexp"
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
	source, commit                        string    // of Pitaya; commit "": Wind alone
	set                                   []setting // of Pitaya's servers
	port                                  int       // of Pitaya's frontend server
	serverCore, loadCore                  int
	limit                                 time.Duration
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done after --limit %s", o.limit))
	defer cancel()
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

// howToName is the way out when the commit is missing or not exact.
const howToName = "give --pitaya-source DIR|URL (a git repository of Pitaya 3) and --pitaya-commit with the 40 digits that git -C DIR rev-parse NAME^{commit} prints"

var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

func parse(args []string, errors io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("pitaya", flag.ContinueOnError)
	f.SetOutput(errors)
	var depths, handler string
	var alone bool
	f.StringVar(&o.source, "pitaya-source", "", "git repository of Pitaya 3 on this machine or elsewhere: a folder or a URL")
	f.StringVar(&o.commit, "pitaya-commit", "", "commit of that repository to build and measure, all 40 digits")
	f.Func("pitaya-set", "a setting of Pitaya's servers by its name in Pitaya's configuration, `KEY=VALUE`; repeatable (default: README.md lists them)", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if key = strings.ToLower(key); !ok || !strings.HasPrefix(key, "pitaya.") || strings.HasSuffix(key, ".connect") || strings.HasSuffix(key, ".endpoints") {
			return fmt.Errorf("want pitaya.KEY=VALUE, and no address: this program starts NATS and etcd")
		}
		o.set = append(o.set, setting{key, value})
		return nil
	})
	f.IntVar(&o.port, "pitaya-port", 0, "port of Pitaya's frontend server; 0: any free one")
	f.BoolVar(&alone, "alone", false, "measure Wind alone")
	f.IntVar(&o.seconds, "seconds", 10, "how long each measurement takes, at most 60")
	f.IntVar(&o.rounds, "rounds", 3, "how often each side is measured at each depth, in turns; the result has the median and the spread")
	f.DurationVar(&o.limit, "limit", 30*time.Minute, "end with an error after this time, which includes the build")
	f.IntVar(&o.connections, "connections", 100, "client connections")
	f.IntVar(&o.payload, "payload", 64, "bytes of a request's body and of its answer's")
	f.StringVar(&depths, "depths", "1,16", "requests under way on each connection, comma-separated")
	f.StringVar(&handler, "handler", "go", "language of Wind's handler: go or star")
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
	case o.port < 0 || o.port > 65535:
		return o, fmt.Errorf("--pitaya-port %d: want 0 to 65535", o.port)
	case alone && (o.source != "" || o.commit != "" || o.set != nil || o.port != 0):
		return o, fmt.Errorf("--alone measures no Pitaya: omit the flags that begin with --pitaya, or --alone")
	case !alone && (o.source == "" || o.commit == ""):
		return o, fmt.Errorf("which Pitaya? %s; or give --alone to measure Wind alone", howToName)
	case !alone && !fullCommit.MatchString(o.commit):
		return o, fmt.Errorf("--pitaya-commit %q is not exact, as branches and tags move: %s", o.commit, howToName)
	case o.planned() > o.limit:
		return o, fmt.Errorf("the measurements alone take %s, --limit is %s: lower --rounds, --seconds or --depths, or raise --limit", o.planned(), o.limit)
	}
	return o, nil
}

// planned returns how long all measurements take.
func (o options) planned() time.Duration {
	return time.Duration(len(o.sides())*o.rounds*len(o.depths)) * (warm + time.Duration(o.seconds)*time.Second)
}

// sides returns what is measured, in the order of each round.
func (o options) sides() []string {
	if o.commit == "" {
		return []string{"wind"}
	}
	return []string{"wind", "pitaya"}
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
