package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
)

// sourceFlags say where to read a shard's history: in a data directory, in an export file or archive, or on a running NATS server. While a
// node runs on the directory, its server is asked; otherwise a copy is opened, because opening a store can destroy evidence.
type sourceFlags struct {
	data, file, nats string
	cluster, shard   string
	follows          bool // the verb prints as it reads: no progress is shown
}

func (f *sourceFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.data, "data", "./wind-data", "data directory to read; that of a stopped node is copied first and stays unchanged")
	set.StringVar(&f.file, "file", "", "export file or archive to read instead of a data directory: a path, or the URL of an object store that this binary has")
	set.StringVar(&f.nats, "nats", "", "URL of a running NATS server to read instead of a data directory")
	set.StringVar(&f.cluster, "cluster", "dev", "cluster of the shard")
	set.StringVar(&f.shard, "shard", "main", "shard to read")
}

// read opens the history, calls do with it, and closes it. Errors about the stored bytes become checkErrors.
func (f *sourceFlags) read(ctx context.Context, a *app, do func(persistence.Source) error) error {
	s, done, err := f.open(ctx, a)
	if err != nil {
		return found(err)
	}
	defer done()
	a.adopt(ctx, s)
	if f.follows {
		return found(do(s))
	}
	p, stop := a.showProgress()
	defer stop()
	return found(do(p.through(s)))
}

// open returns the history and a function that closes it.
func (f *sourceFlags) open(ctx context.Context, a *app) (persistence.Source, func(), error) {
	switch {
	case checkName("--shard", f.shard) != nil || checkName("--cluster", f.cluster) != nil:
		return persistence.Source{}, nil, first(checkName("--shard", f.shard), checkName("--cluster", f.cluster))
	case f.file != "":
		file, err := a.openExport(ctx, f.file)
		if err != nil {
			return persistence.Source{}, nil, err
		}
		return file.Source(), func() { _ = file.Close() }, nil
	case f.nats != "":
		return f.openLive(ctx, a)
	}
	store := filepath.Join(f.data, "nats")
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return persistence.Source{}, nil, fmt.Errorf("%s holds no data of a node: name another directory with --data, or an export or archive with --file", f.data)
	}
	held, err := jetstream.OpenCopy(ctx, store, jetstream.CopyOptions{Cluster: f.cluster, Shard: f.shard, Logger: a.log})
	if errors.Is(err, jetstream.ErrInUse) {
		running, runningErr := node.Running(f.data)
		if runningErr != nil {
			return persistence.Source{}, nil, fmt.Errorf("%w; its servers do not run yet: wait until they do, or stop it", err)
		}
		f.nats = running.NATS
		return f.openLive(ctx, a)
	}
	if err != nil {
		return persistence.Source{}, nil, err
	}
	s, _, err := held.Open(ctx, f.cluster, f.shard)
	if errors.Is(err, persistence.ErrNotFound) {
		err = f.unknownIn(store)
	}
	if err != nil {
		held.Close()
		return persistence.Source{}, nil, err
	}
	return s.Source(), held.Close, nil
}

func (f *sourceFlags) openLive(ctx context.Context, a *app) (persistence.Source, func(), error) {
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: f.nats, ReadOnly: true, Logger: a.log})
	if err != nil {
		return persistence.Source{}, nil, node.Unconnected(err)
	}
	s, err := jetstream.Open(ctx, conn, f.cluster, f.shard, "", jetstream.Options{})
	if errors.Is(err, persistence.ErrNotFound) {
		refs, listErr := jetstream.Streams(ctx, conn, f.cluster)
		if err = f.unknown(refs); listErr != nil {
			err = listErr
		}
	}
	if err != nil {
		conn.Close()
		return persistence.Source{}, nil, err
	}
	return s.Source(), func() { s.Close(); conn.Close() }, nil
}

// unknownIn is unknown for a shard that is not in a store.
func (f *sourceFlags) unknownIn(store string) error {
	all, err := jetstream.ShardsIn(store)
	if err != nil {
		return err
	}
	return f.unknown(all)
}

// mostNames is how many shards, nodes or instances an error lists.
const mostNames = 10

// unknown returns the error for a shard that is not among refs. It lists the cluster's shards.
func (f *sourceFlags) unknown(refs []jetstream.Ref) error {
	var names []string
	for _, r := range refs {
		if r.Cluster == f.cluster {
			names = append(names, r.Shard)
		}
	}
	if slices.Contains(names, f.shard) {
		return fmt.Errorf("shard %q of cluster %q is being created and has no records yet: try again in a moment", f.shard, f.cluster)
	}
	if len(names) == 0 {
		return fmt.Errorf("cluster %q has no shard here: name the right one with --cluster", f.cluster)
	}
	if strings.HasPrefix(f.shard, "r-") {
		return fmt.Errorf("cluster %q has no log of room %s here: wind room show %[2]s says whether there is such a room, and names its archive if its log was removed", f.cluster, f.shard)
	}
	return fmt.Errorf("cluster %q has no shard %q here; it has %s: name one with --shard", f.cluster, f.shard, some(names))
}

// some returns the first of many names, and how many more there are.
func some(names []string) string {
	if more := len(names) - mostNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), more)
	}
	return strings.Join(names, ", ")
}

// found wraps errors about the stored bytes, from a check or a replay, in a checkError: exit code 3.
func found(err error) error {
	if persistence.Foreign(err) {
		return err // another game's or build's log is not damaged
	}
	if errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrLost) || errors.Is(err, persistence.ErrDiverged) || errors.Is(err, persistence.ErrGap) || errors.Is(err, etcd.ErrCorrupt) {
		return checkError{err}
	}
	return err
}
