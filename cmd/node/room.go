package node

import (
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

// What must be free in a data directory before its servers are started: etcd gives up a process whose disk is full while
// it starts, and sets aside two pieces of its own log in a new directory.
const (
	newRoom   = 192 << 20
	againRoom = 16 << 20

	roomEvery = 250 * time.Millisecond // between two looks at a full disk
)

// CheckRoom says whether the embedded servers can be started on a data directory: nil, or an error that wraps
// persistence.ErrDiskFull or persistence.ErrReadOnly and names the directory and what is free there. It leaves nothing
// behind.
func CheckRoom(data string) error {
	need := int64(newRoom)
	if _, err := os.Stat((&Data{Dir: data}).Etcd()); err == nil {
		need = againRoom
	}
	return jetstream.CheckRoom(data, need)
}

// OpenInfra opens a data directory and starts the servers on it. On a full disk it waits until there is room, c.Patience is over or ctx ends,
// and tells so; nil says that the wait is over. A directory that cannot be written is an error at once.
func OpenInfra(ctx context.Context, dir string, c InfraConfig, tell func(error)) (*Data, *Infra, error) {
	waiting, began := false, time.Now()
	for {
		data, infra, err := tryInfra(ctx, dir, c)
		if errors.Is(err, persistence.ErrReadOnly) {
			err = fmt.Errorf("%w: make its file system writable, or name another directory with --data", err)
		}
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
			logger(c.Log).Error("the start waits for room on the disk", "error", err)
		}
		waiting = true
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: %w", ErrInterrupted, err)
		case <-time.After(roomEvery):
		}
	}
}

// tryInfra is OpenInfra without the patience.
func tryInfra(ctx context.Context, dir string, c InfraConfig) (*Data, *Infra, error) {
	if err := CheckRoom(dir); errors.Is(err, persistence.ErrDiskFull) || errors.Is(err, persistence.ErrReadOnly) {
		return nil, nil, err
	}
	data, err := OpenData(dir)
	if err != nil {
		return nil, nil, jetstream.Unwritable(dir, err)
	}
	c.Data = data
	infra, err := StartInfra(ctx, c)
	if err != nil {
		return nil, nil, errors.Join(jetstream.Unwritable(dir, err), data.Close())
	}
	return data, infra, nil
}

// told keeps the node's condition while it waits for room.
func (n *Node) told(err error) {
	if err == nil {
		n.conditions.Clear(shard.DiskFull)
		return
	}
	n.conditions.Raise(shard.DiskFull, true, shard.Sentence(shard.DiskFull, n.config.Shard, "the start waits: "+err.Error()))
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}
