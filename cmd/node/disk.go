package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
)

// Free space required in a data directory before its servers start: etcd ends a process whose disk is full during its
// start, and preallocates two segments of its log in a new directory.
const (
	newBytes   = 192 << 20
	againBytes = 16 << 20

	diskEvery = 250 * time.Millisecond // between two checks of a full disk
)

// CheckDisk returns nil if the embedded servers can start on a data directory. Otherwise it returns an error that wraps
// persistence.ErrDiskFull or persistence.ErrReadOnly and names the directory and its free space. It leaves no files
// behind.
func CheckDisk(data string) error {
	need := int64(newBytes)
	if _, err := os.Stat((&Data{Dir: data}).Etcd()); err == nil {
		need = againBytes
	}
	return jetstream.CheckDisk(data, need)
}

// OpenInfra opens a data directory and starts the servers on it. On a full disk it waits until there is room,
// c.Patience is over or ctx ends. It passes each reason to wait to tell, and nil when the wait is over. It returns an
// error at once for a directory that is not writable.
func OpenInfra(ctx context.Context, dir string, c InfraConfig, tell func(error)) (*Data, *Infra, error) {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	waiting, began := false, time.Now()
	for {
		data, infra, err := tryInfra(ctx, dir, c)
		if !errors.Is(err, persistence.ErrDiskFull) {
			if waiting && err == nil {
				tell(nil)
			}
			return data, infra, err
		}
		if c.Patience > 0 && time.Since(began) > c.Patience {
			return nil, nil, fmt.Errorf("given up after %s: %w", c.Patience, err)
		}
		if tell(err); !waiting {
			c.Logger.Error("waiting for room on the disk", "error", err)
		}
		waiting = true
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: %w", ErrInterrupted, err)
		case <-time.After(diskEvery):
		}
	}
}

// tryInfra is one attempt of OpenInfra.
func tryInfra(ctx context.Context, dir string, c InfraConfig) (*Data, *Infra, error) {
	data, err := openRoom(dir)
	if err != nil {
		return nil, nil, err
	}
	c.Data = data
	infra, err := StartInfra(ctx, c)
	if err != nil {
		return nil, nil, errors.Join(unwritable(dir, err), data.Close())
	}
	return data, infra, nil
}

// openRoom opens a data directory on a disk with room for the servers.
func openRoom(dir string) (*Data, error) {
	if err := CheckDisk(dir); errors.Is(err, persistence.ErrDiskFull) || errors.Is(err, persistence.ErrReadOnly) {
		return nil, unwritable(dir, err)
	}
	data, err := OpenData(dir)
	return data, unwritable(dir, err)
}

// unwritable explains an error of a write below dir, and adds the way out.
func unwritable(dir string, err error) error {
	err = jetstream.Unwritable(dir, err)
	if errors.Is(err, persistence.ErrReadOnly) {
		return fmt.Errorf("%w: make its file system writable, or name another directory with --data", err)
	}
	return err
}

// told raises the node's condition while it waits for room, and clears it on nil.
func (n *Node) told(err error) {
	if err == nil {
		n.conditions.Clear(shard.DiskFull)
		return
	}
	n.conditions.Raise(shard.DiskFull, true, shard.Sentence(shard.DiskFull, n.config.Shard, "the start waits: "+err.Error()))
}
