package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.uber.org/zap"
)

// ErrCorrupt reports that a server's directory is damaged. Its contents can be rebuilt: owners, marks and epochs follow
// from the shards' logs.
var ErrCorrupt = errors.New("etcd: the store is damaged")

// Prove reads the store of a stopped server in its directory, and returns ErrCorrupt if it is damaged. It changes
// nothing.
func Prove(dir string) error { return prove(memberDir(dir)) }

// prove reads a member's store before a server opens it, because the server reacts to damage with a panic, with a fault
// in its mapped memory, or by ignoring requests. It changes nothing. It accepts a store that does not exist yet, and a
// write that a crash cut off at the end.
func prove(dir string) error {
	if err := proveMember(filepath.Join(dir, "member")); err != nil {
		return fmt.Errorf("%w: %s: %w: move that directory away and start again: the shards continue from their logs", ErrCorrupt, dir, err)
	}
	return nil
}

func proveMember(dir string) error {
	state, err := proveDB(filepath.Join(dir, "snap", "db"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("db: %w", err)
	}
	hasDB := err == nil
	log, err := proveWAL(filepath.Join(dir, "wal"))
	if errors.Is(err, fs.ErrNotExist) && state.applied == 0 {
		return nil // nothing was ever stored: the first start ended early
	}
	if err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	if err := proveSnapshots(filepath.Join(dir, "snap")); err != nil {
		return err
	}
	switch {
	case state.applied > log.last: // the server would ignore requests up to that entry
		return fmt.Errorf("write-ahead log: it ends with entry %d, but the db has applied entry %d", log.last, state.applied)
	case !hasDB && log.snapshot > 0:
		return fmt.Errorf("db: it is missing, and the write-ahead log begins after entry %d", log.snapshot)
	}
	return nil
}

// proveSnapshots reads the snapshots of the member's Raft state. The server would only rename a damaged one.
func proveSnapshots(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".snap") {
			continue
		}
		if _, err := snap.Read(zap.NewNop(), filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("snapshot %s: %w", e.Name(), err)
		}
	}
	return nil
}
