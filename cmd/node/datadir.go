package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ferris1/wind/netcode/cert"
	"github.com/ferris1/wind/persistence/jetstream"
)

// lockFile is the file in a data directory that the process which has it open locks.
const lockFile = "LOCK"

// ErrInUse reports that another process has the folder open. OpenData returns it.
var ErrInUse = errors.New("in use by another process")

// Data is a data directory that only this process has open: LOCK, nats (JetStream's store) and etcd.
type Data struct {
	Dir  string
	lock *flock.Flock
}

// OpenData creates the folder if it does not exist, and locks it until Close. It refuses a folder with other contents
// and no data of a node, so that a wrong --data never mixes them.
func OpenData(dir string) (*Data, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create data directory %s: %w: name another with --data", dir, err)
	}
	if err := onlyOurs(dir); err != nil {
		return nil, err
	}
	d := &Data{Dir: dir, lock: flock.New(filepath.Join(dir, lockFile))}
	ok, err := d.lock.TryLock()
	for try := 0; err == nil && !ok && try < 10; try++ { // Running holds the lock for a moment
		time.Sleep(20 * time.Millisecond)
		ok, err = d.lock.TryLock()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot lock data directory %s: %w: name another with --data", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("data directory %s is %w: stop that process, or name another directory with --data", dir, ErrInUse)
	}
	return d, nil
}

// ErrStopped reports that no process runs on a data directory.
var ErrStopped = errors.New("no process runs on it")

// Running returns the URLs of the servers that run on a data directory, or ErrStopped. It creates and changes nothing.
func Running(dir string) (URLs, error) {
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return URLs{}, ErrStopped
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if err != nil {
		return URLs{}, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if free {
		return URLs{}, errors.Join(ErrStopped, lock.Unlock())
	}
	return ReadURLs(dir)
}

// Find is like Running, with an error that says what to do if no process runs on the directory. A killed process leaves its URLs
// behind.
func Find(dir string) (URLs, error) {
	u, err := ReadURLs(dir)
	if err != nil {
		return u, err
	}
	if _, err := Running(dir); errors.Is(err, ErrStopped) {
		return URLs{}, noServers(dir)
	}
	return u, nil
}

// NATS returns the folder of JetStream's store.
func (d *Data) NATS() string { return StoreDir(d.Dir) }

// Etcd returns the folder of etcd's store.
func (d *Data) Etcd() string { return filepath.Join(d.Dir, "etcd") }

// Close unlocks the folder.
func (d *Data) Close() error { return d.lock.Unlock() }

func onlyOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read data directory %s: %w", dir, err)
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, "nats", "etcd", cert.CertFile, cert.KeyFile:
			return nil // one of ours suffices: a README beside it does no harm
		}
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), jetstream.ProbePrefix) { // left by a process that was killed in CheckDisk
			return fmt.Errorf("data directory %s holds %s and nothing of a node: name an empty folder with --data", dir, e.Name())
		}
	}
	return nil
}
