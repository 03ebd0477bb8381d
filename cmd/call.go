package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/rpc"
)

// clusterFlags are the flags of verbs that query or command a running cluster.
type clusterFlags struct{ nats, etcd, cluster, data string }

func (f *clusterFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.nats, "nats", "", "URL of the cluster's NATS server, with the nodes' password (default: the one that dev or infra wrote into --data)")
	set.StringVar(&f.etcd, "etcd", "", "URLs of the cluster's etcd servers, comma-separated (default: those that dev or infra wrote into --data)")
	set.StringVar(&f.cluster, "cluster", "dev", "name of the cluster")
	set.StringVar(&f.data, "data", "./wind-data", "data directory of the running dev or infra")
}

// connect connects to the cluster.
func (f *clusterFlags) connect(ctx context.Context, a *app) (*node.Cluster, error) {
	u, err := f.urls()
	if err != nil {
		return nil, err
	}
	c, err := node.Connect(ctx, f.cluster, u.NATS, u.Etcd, a.log)
	return c, unlessInterrupted(ctx, err)
}

// observe connects to the cluster to look at it.
func (f *clusterFlags) observe(ctx context.Context, a *app) (*node.Cluster, error) {
	u, err := f.urls()
	if err != nil {
		return nil, err
	}
	c, err := node.Observe(ctx, f.cluster, u.NATS, u.Etcd, a.log)
	return c, unlessInterrupted(ctx, err)
}

// unlessInterrupted returns err, unless whoever called the verb has ended it: then no server is to blame.
func unlessInterrupted(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted before the cluster's servers answered")
	}
	return err
}

// urls returns the URLs that the flags give, or those in the data directory.
func (f *clusterFlags) urls() (u node.URLs, err error) {
	if err := first(checkName("--cluster", f.cluster), checkPair(f.nats, f.etcd)); err != nil || f.nats != "" {
		return node.URLs{NATS: f.nats, Etcd: f.etcd}, err
	}
	return node.Find(f.data)
}

func (a *app) call() *cobra.Command {
	f := &clusterFlags{}
	var id, player string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "call SERVICE MESSAGE [JSON]",
		Short: "Send one message to a service, or one command to a shard, and print the answer",
		Long: `Sends a message to an instance of a service as another service would (its server handlers answer), and prints the
answer as JSON. With --player it sends the message as that player's client would, to the client handlers.

With shard:NAME as SERVICE it sends a command into that shard; the answer comes once the command's tick is committed.`,
		Example: "  wind call game AnnounceRequest '{\"content\":\"maintenance at noon\"}'\n" +
			"  wind call game RoleRequest --player alice\n" +
			"  wind call shard:main speak.wave '{\"strength\":2.5}'",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&id, "id", "", "the instance to ask (default: any)")
	c.Flags().StringVar(&player, "player", "", "send the message as this player's client")
	c.Flags().DurationVar(&timeout, "timeout", rpc.DefaultTimeout, "how long to wait for the answer")
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		payload := []byte("{}")
		if len(args) == 3 {
			payload = []byte(args[2])
		}
		if !isObject(payload) {
			return usagef("call: %s is not a JSON object: write one as '{\"content\":\"hello\"}'", payload)
		}
		if timeout <= 0 {
			return usagef("call: --timeout %s: want more than 0", timeout)
		}
		if player == "" && c.Flags().Changed("player") {
			return usagef("call: --player is empty: name a player, or omit it to call as another service would")
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if name, ok := strings.CutPrefix(args[0], "shard:"); ok {
			answer, err := cluster.Command(ctx, name, args[1], payload)
			if err != nil {
				return err
			}
			return a.line(answer)
		}
		r := rpc.Request{Message: args[1], Format: rpc.JSON, Payload: payload, Player: player, From: "operator/call", Timeout: timeout}
		if player != "" {
			r.Session = "operator/call"
		}
		if id == "" && player != "" {
			if id, err = cluster.Bound(ctx, args[0], player); err != nil {
				return err
			}
		}
		to := rpc.Address{Type: args[0], ID: id}
		answer, err := cluster.Bus.Call(ctx, to, r)
		if err != nil {
			if err = cluster.Explain(to, err); player == "" && rpc.ErrorOf(err).Code == rpc.Unimplemented && cluster.ForPlayers(args[0], args[1]) {
				err = fmt.Errorf("%w: call it with --player NAME, as that player's client", err)
			}
			return err
		}
		return a.line(answer.Payload)
	})
	return c
}

// isObject reports whether b is one JSON object.
func isObject(b []byte) bool {
	return json.Valid(b) && bytes.HasPrefix(bytes.TrimSpace(b), []byte("{"))
}

// line prints a result that is already JSON.
func (a *app) line(b []byte) error {
	if len(b) == 0 {
		b = []byte("{}")
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n", b)
	return err
}
