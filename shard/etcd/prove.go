package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// ErrCorrupt says that a server's directory is damaged. What it held can be made again: owners, marks and epochs follow
// from the shards' logs.
var ErrCorrupt = errors.New("etcd: the store is damaged")

// prove reads a member's store before a server opens it, because the server itself panics at a damaged page. It changes
// nothing. A store that is not there yet is fine, and so is an end that a crash tore.
func prove(dir string) error {
	db := filepath.Join(dir, "member", "snap", "db")
	if _, err := os.Stat(db); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := errors.Join(proveDB(db), proveWAL(filepath.Join(dir, "member", "wal"))); err != nil {
		return fmt.Errorf("%w: %s: %w: move that directory away and start again, the shards go on from their logs", ErrCorrupt, dir, err)
	}
	return nil
}

// proveDB walks every page. bbolt panics at some damages, so whatever it says counts as one.
func proveDB(path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("db: %v", p)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return fmt.Errorf("db: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("db: %w", err)
			}
		}
		return first
	})
}

// proveWAL reads the write-ahead log behind its last valid snapshot, and its checksums.
func proveWAL(dir string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write-ahead log: %v", p)
		}
	}()
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), dir)
	if err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	if len(snapshots) == 0 {
		return errors.New("write-ahead log: it has no valid beginning")
	}
	if _, err := wal.Verify(zap.NewNop(), dir, snapshots[len(snapshots)-1]); err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	return nil
}
