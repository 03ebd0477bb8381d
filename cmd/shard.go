package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// shardInfo is one shard as `shard list` and `shard resume` print it.
type shardInfo struct {
	Shard    string `json:"shard"`
	State    string `json:"state"` // owned, free, halted, or sealed: a room that has ended
	Owner    string `json:"owner,omitempty"`
	Epoch    uint64 `json:"epoch"`
	LastSeq  uint64 `json:"last_seq"` // the last one that an owner noted
	Reason   string `json:"reason,omitempty"`
	HaltedBy string `json:"halted_by,omitempty"`
	HaltedAt string `json:"halted_at,omitempty"`
	Lifted   bool   `json:"lifted,omitempty"`
}

func infoOf(s etcd.ShardInfo) shardInfo {
	i := shardInfo{Shard: s.Name, State: "free", Owner: s.Owner, Epoch: uint64(s.Epoch), LastSeq: uint64(s.High.Seq)}
	switch {
	case s.Halted != "":
		i.State, i.Reason, i.HaltedBy, i.HaltedAt = "halted", s.Halted, s.HaltedBy, s.HaltedAt.UTC().Format(time.RFC3339)
	case s.Over:
		i.State = "sealed"
	case s.Owner != "":
		i.State = "owned"
	}
	return i
}

// because returns a sentence that says who halted the shard, when and why.
func (i *shardInfo) because() string {
	return fmt.Sprintf("shard %s was halted by node %s at %s: %s", i.Shard, i.HaltedBy, i.HaltedAt, i.Reason)
}

// lost reports whether the shard was halted because its log lacks committed records. Lifting such a halt does not help.
func (i *shardInfo) lost() bool { return shard.HaltedBy(i.Reason) == shard.HistoryLost }

// wayOut returns what an operator can do about the halt.
func (i *shardInfo) wayOut() string {
	return shard.WayOut(shard.HaltedBy(i.Reason), i.Shard)
}

// leasesFlags say where to find etcd's keys of the shards: in a data directory, running or stopped, or on servers.
type leasesFlags struct{ data, etcd, cluster string }

func (f *leasesFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.data, "data", "./wind-data", "data directory of a running or stopped node")
	set.StringVar(&f.etcd, "etcd", "", "URLs of the cluster's etcd servers, comma-separated, instead of a data directory")
	set.StringVar(&f.cluster, "cluster", "dev", "name of the cluster")
}

// open connects to etcd. In a stopped directory it opens the store itself if write is set, and a copy otherwise.
func (f *leasesFlags) open(ctx context.Context, a *app, write bool) (*etcd.Client, func() error, error) {
	if f.etcd != "" {
		client, err := etcd.Dial(ctx, strings.Split(f.etcd, ",")...)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: start it, or name another with --etcd", err)
		}
		return client, client.Close, nil
	}
	l, err := node.OpenLeases(ctx, f.data, write, a.log)
	if err != nil {
		return nil, nil, err
	}
	return l.Etcd, l.Close, nil
}

// look returns what etcd knows about the cluster's shards.
func (f *leasesFlags) look(ctx context.Context, a *app) (all []etcd.ShardInfo, err error) {
	client, closeClient, err := f.open(ctx, a, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeClient()) }()
	return etcd.Shards(ctx, client, f.cluster)
}

// change calls do with what etcd knows about one shard and a handle to change it.
func (f *leasesFlags) change(ctx context.Context, a *app, name string, do func(*etcd.Shard, shardInfo) error) (err error) {
	client, closeClient, err := f.open(ctx, a, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeClient()) }()
	all, err := etcd.Shards(ctx, client, f.cluster)
	if err != nil {
		return err
	}
	info, err := f.named(all, name)
	if err != nil {
		return err
	}
	s, err := etcd.Look(client, f.cluster, name)
	if err != nil {
		return err
	}
	return do(s, info)
}

func (f *leasesFlags) find(ctx context.Context, a *app, name string) (shardInfo, error) {
	all, err := f.look(ctx, a)
	if err != nil {
		return shardInfo{}, err
	}
	return f.named(all, name)
}

// named returns a shard, or an error that lists the cluster's shards.
func (f *leasesFlags) named(all []etcd.ShardInfo, name string) (shardInfo, error) {
	var names []string
	for _, s := range all {
		if s.Name == name {
			return infoOf(s), nil
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return shardInfo{}, fmt.Errorf("cluster %s has no shards: name the right one with --cluster", f.cluster)
	}
	return shardInfo{}, fmt.Errorf("cluster %s has no shard %s; it has %s", f.cluster, name, some(names))
}

func (a *app) shardVerb() *cobra.Command {
	c := &cobra.Command{
		Use:     "shard",
		Short:   "Show the state of a cluster's shards, and resume a halted one",
		Long:    "Works on running servers (--etcd, or --data of a running node) and on a stopped data directory.",
		Example: "  wind shard list\n  wind shard resume main",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("shard: choose a verb: list, resume or accept-loss (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.shardList(), a.shardResume(), a.shardAcceptLoss())
	return c
}

func (a *app) shardList() *cobra.Command {
	f := &leasesFlags{}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the shards of a cluster: owner, epoch, and the reason for a halt",
		Long:    "Prints what etcd knows about each shard; rooms are among them (see room list). It opens a copy of a stopped data directory and leaves the directory unchanged.",
		Example: "  wind shard list --data ./wind-data\n  wind shard list --etcd http://10.0.0.5:2379 --json",
	}
	f.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if err := checkName("--cluster", f.cluster); err != nil {
			return err
		}
		all, err := f.look(ctx, a)
		if err != nil {
			return err
		}
		shards := []shardInfo{}
		for _, s := range all {
			shards = append(shards, infoOf(s))
		}
		return a.print(map[string]any{"cluster": f.cluster, "shards": shards}, shardLines(shards)...)
	})
	return c
}

func shardLines(shards []shardInfo) []string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SHARD\tSTATE\tOWNER\tEPOCH\tLAST")
	for _, s := range shards {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\n", s.Shard, s.State, s.Owner, s.Epoch, s.LastSeq)
	}
	_ = t.Flush() // into memory
	lines := []string{strings.TrimRight(b.String(), "\n")}
	for _, s := range shards {
		if s.Reason != "" {
			lines = append(lines, s.because(), s.wayOut())
		}
	}
	return lines
}

func (a *app) shardResume() *cobra.Command {
	f := &leasesFlags{}
	c := &cobra.Command{
		Use:   "resume SHARD",
		Short: "Lift a shard's halt, and say why it was halted",
		Long: `A shard is halted if continuing could do harm: two starts died in the same tick, history is lost, or a build contradicts
its own records. No node claims a halted shard. Fix the cause, then resume the shard: the next node may claim it. If the cause
persists, the shard is halted again.`,
		Example: "  wind shard resume main --data ./wind-data\n  wind shard resume main --etcd http://10.0.0.5:2379",
	}
	f.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		if err := first(checkName("shard", args[0]), checkName("--cluster", f.cluster)); err != nil {
			return err
		}
		info, err := f.find(ctx, a, args[0])
		if err != nil {
			return err
		}
		if info.State != "halted" {
			return a.print(info, fmt.Sprintf("shard %s is not halted", info.Shard))
		}
		return f.change(ctx, a, args[0], func(s *etcd.Shard, info shardInfo) error {
			if err := s.Lift(ctx); err != nil {
				return err
			}
			info.Lifted = true
			lines := []string{info.because(), "the halt is lifted: the next node that starts or waits claims the shard"}
			if info.lost() {
				lines = append(lines, "history was lost: unless it is restored, the shard is halted again; wind shard accept-loss "+info.Shard+" gives it up")
			}
			return a.print(info, lines...)
		})
	})
	return c
}

func (a *app) shardAcceptLoss() *cobra.Command {
	f := &leasesFlags{}
	var nats string
	c := &cobra.Command{
		Use:   "accept-loss SHARD",
		Short: "Give up the ticks that a shard's log has lost, and continue without them",
		Long: `If the log ends before records that it is known to have had, the shard is halted, because a backup may still have them. This
verb gives up the ticks after the log's end: clients saw them, and they will be simulated again with another outcome. Stop the
shard's nodes first; a node that waits because of the halt may keep running. The loss is also noted beside the log, so that log
check, replay and export know what is void.

It needs running servers, to learn where the log ends. For a stopped data directory, start a node on it (wind dev or wind serve
with --data), which waits while the shard is halted. No node starts on a directory with a damaged log: restore a backup, or use
another directory. The log of a room is the exception: the room is halted, and the node starts.`,
		Example: "  wind shard accept-loss main --data ./wind-data\n  wind shard accept-loss main --nats nats://node:PASSWORD@10.0.0.5:4222 --etcd http://10.0.0.5:2379",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&nats, "nats", "", "URL of the cluster's NATS server (default: the one that running servers wrote into --data)")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		if err := first(checkName("shard", args[0]), checkName("--cluster", f.cluster)); err != nil {
			return err
		}
		if err := checkPair(nats, f.etcd); err != nil {
			return err
		}
		if nats == "" {
			u, err := node.Running(f.data)
			if errors.Is(err, node.ErrStopped) {
				return fmt.Errorf("no servers run on %s: start a node on it with wind serve, which waits while the shard is halted, and try again; or name servers with --nats and --etcd", f.data)
			}
			if err != nil {
				return err
			}
			nats, f.etcd = u.NATS, u.Etcd
		}
		log, done, err := a.shardLog(ctx, nats, f.cluster, args[0])
		if err != nil {
			return err
		}
		defer done()
		last, err := log.Last(ctx)
		if err != nil {
			return err
		}
		return f.change(ctx, a, args[0], func(s *etcd.Shard, info shardInfo) error {
			if uint64(last) >= info.LastSeq && info.State != "halted" {
				standing, err := s.Read(ctx)
				if err != nil {
					return err
				}
				if err := log.NoteAccepted(ctx, standing.Accepted); err != nil { // the note may have failed when the loss was accepted
					return err
				}
				return a.print(info, fmt.Sprintf("shard %s has no known loss: its log ends at record %d", info.Shard, last))
			}
			accepted, err := s.AcceptLoss(ctx, last)
			if err != nil {
				return err
			}
			if err := log.NoteAccepted(ctx, accepted); err != nil {
				return fmt.Errorf("the loss is accepted, but log check does not know it yet (%w): once the server answers, repeat this command", err)
			}
			info.Lifted = info.State == "halted"
			var lines []string
			if info.Lifted {
				lines = append(lines, info.because())
			}
			return a.print(info, append(lines, fmt.Sprintf("everything after record %d is given up: the next node that starts continues from there", last))...)
		})
	})
	return c
}

// shardLog opens the log of a shard on running servers, and returns a function that closes it.
func (a *app) shardLog(ctx context.Context, nats, cluster, name string) (*jetstream.Log, func(), error) {
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: nats, Logger: a.log})
	if err != nil {
		return nil, nil, node.Unconnected(err)
	}
	s, err := jetstream.Open(ctx, conn, cluster, name, "", jetstream.Options{})
	if err != nil {
		conn.Close()
		if errors.Is(err, persistence.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("shard accept-loss: %w: the whole log is gone: restore it from a backup, or start another shard", err)
		}
		return nil, nil, err
	}
	return s.Log(), func() { s.Close(); conn.Close() }, nil
}
