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

// sourceFlags say where a shard's history is read from: a data directory (of a running node its server is asked; of any
// other a copy is opened, because opening can destroy evidence), an export file, or a running NATS server.
type sourceFlags struct {
	data, file, nats string
	cluster, shard   string
	follows          bool // what is printed shows how far it is
}

func (f *sourceFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.data, "data", "./wind-data", "data directory to read, of a running node or of a stopped one, which stays as it is: a copy is opened")
	set.StringVar(&f.file, "file", "", "export file to read instead of a data directory")
	set.StringVar(&f.nats, "nats", "", "URL of a running NATS server to read instead of a data directory")
	set.StringVar(&f.cluster, "cluster", "dev", "cluster of the shard")
	set.StringVar(&f.shard, "shard", "main", "shard to read")
}

// read opens the history, lets do look at it, and closes it. What do finds wrong with the stored bytes ends with exit
// code 3.
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
	case f.file != "" && f.nats != "":
		return persistence.Source{}, nil, usagef("--file and --nats exclude each other: give one")
	case f.file != "":
		file, err := persistence.OpenFile(f.file)
		if err != nil {
			return persistence.Source{}, nil, err
		}
		return file.Source(), func() { _ = file.Close() }, nil
	case f.nats != "":
		return f.openLive(ctx, a)
	}
	store := filepath.Join(f.data, "nats")
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return persistence.Source{}, nil, fmt.Errorf("%s holds no data of a node: name another directory with --data, or an export with --file", f.data)
	}
	held, err := jetstream.OpenCopy(ctx, store, jetstream.CopyOptions{Cluster: f.cluster, Shard: f.shard, Logger: a.log})
	if errors.Is(err, jetstream.ErrInUse) {
		running, runningErr := node.Running(f.data)
		if runningErr != nil {
			return persistence.Source{}, nil, fmt.Errorf("%w; its servers do not run: wait until they do, or stop it", err)
		}
		f.nats = running.NATS
		return f.openLive(ctx, a)
	}
	if err != nil {
		return persistence.Source{}, nil, err
	}
	s, _, err := held.Open(ctx, f.cluster, f.shard)
	if errors.Is(err, persistence.ErrNotFound) {
		err = f.unknownIn(ctx, store)
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
		return persistence.Source{}, nil, fmt.Errorf("%w: start it, or name another with --nats", err)
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

// unknownIn is unknown for a store of which only the wanted shard was copied.
func (f *sourceFlags) unknownIn(ctx context.Context, store string) error {
	all, err := jetstream.OpenCopy(ctx, store, jetstream.CopyOptions{LogOnly: true})
	if err != nil {
		return err
	}
	defer all.Close()
	return f.unknown(all.Shards())
}

// unknown says which shards there are instead of the one that was asked for.
func (f *sourceFlags) unknown(refs []jetstream.Ref) error {
	var names []string
	for _, r := range refs {
		if r.Cluster == f.cluster {
			names = append(names, r.Shard)
		}
	}
	if slices.Contains(names, f.shard) {
		return fmt.Errorf("shard %q of cluster %q is just being made and has no records yet: ask again in a moment", f.shard, f.cluster)
	}
	if len(names) == 0 {
		return fmt.Errorf("cluster %q has no shard here: name the right one with --cluster", f.cluster)
	}
	return fmt.Errorf("cluster %q has no shard %q here; it has %s: name one with --shard", f.cluster, f.shard, strings.Join(names, ", "))
}

// found turns what a check or a replay found wrong with the stored bytes into exit code 3.
func found(err error) error {
	if persistence.Foreign(err) {
		return err // nothing says that it is not in order
	}
	if errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrLost) || errors.Is(err, persistence.ErrDiverged) || errors.Is(err, persistence.ErrGap) || errors.Is(err, etcd.ErrCorrupt) {
		return checkError{err}
	}
	return err
}
