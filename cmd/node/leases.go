package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
)

// Leases gives access to the etcd of a data directory: to the server that runs on it or, if none runs, to one that is
// started until Close.
type Leases struct {
	Etcd    *etcd.Client
	Running bool // a process has the directory open; Etcd is its server
	closers []func() error
}

// noData is the error for a directory in which no node ever ran. It wraps fs.ErrNotExist.
type noData string

func (d noData) Error() string {
	return string(d) + " holds no data of a node: name another directory with --data, or a running server with --etcd"
}

func (d noData) Unwrap() error { return fs.ErrNotExist }

// OpenLeases opens the etcd of a data directory. If write is false, it does not touch a stopped directory: it opens a
// copy in the directory for temporary files. It returns fs.ErrNotExist for a directory in which no node ever ran.
func OpenLeases(ctx context.Context, dir string, write bool, logger *slog.Logger) (*Leases, error) {
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err != nil {
		return nil, noData(dir)
	}
	l := &Leases{}
	data, err := OpenData(dir)
	switch {
	case errors.Is(err, ErrInUse):
		err = l.ask(ctx, dir)
	case err == nil:
		l.onClose(data.Close)
		err = l.start(ctx, data, write, logger)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ask connects to the server of the process that has the directory open.
func (l *Leases) ask(ctx context.Context, dir string) error {
	u, err := ReadURLs(dir)
	if err != nil {
		return fmt.Errorf("%s is %w, but its servers do not run: wait, or stop that process", dir, ErrInUse)
	}
	l.Running = true
	return l.dial(ctx, u.Etcd)
}

// start runs a server on the directory, or on a copy of it.
func (l *Leases) start(ctx context.Context, data *Data, write bool, logger *slog.Logger) error {
	config := etcd.ServerConfig{Dir: data.Etcd(), Development: !write, Logger: logger}
	if !write {
		if err := etcd.Prove(data.Etcd()); err != nil { // prove the original, not the copy: the error names a path that the operator knows
			return err
		}
		temp, err := jetstream.NewTempDir("")
		if err != nil {
			return fmt.Errorf("no room for a copy of %s: %w: point TMPDIR to a larger disk", data.Etcd(), err)
		}
		l.onClose(temp.Remove)
		config.Dir = filepath.Join(temp.Path, "etcd")
		if err := os.CopyFS(config.Dir, os.DirFS(data.Etcd())); err != nil {
			return fmt.Errorf("cannot copy %s: %w: point TMPDIR to a larger disk", data.Etcd(), err)
		}
	}
	server, err := etcd.StartServer(ctx, config)
	if err != nil && !write {
		return fmt.Errorf("cannot read a copy of %s: %w", data.Etcd(), err)
	}
	if err != nil {
		return err
	}
	l.onClose(server.Close)
	return l.dial(ctx, "http://"+server.Addr())
}

func (l *Leases) dial(ctx context.Context, url string) (err error) {
	if l.Etcd, err = etcd.Dial(ctx, url); err == nil {
		l.onClose(l.Etcd.Close)
	}
	return err
}

func (l *Leases) onClose(f func() error) { l.closers = append(l.closers, f) }

// Close closes everything that was opened and removes any copy.
func (l *Leases) Close() (err error) {
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	l.closers = nil
	return err
}
