package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// TempDir is a directory for a copy of stored data, locked while this process lives. The next NewTempDir in the same place
// removes what a killed process has left.
type TempDir struct {
	Path string
	lock *flock.Flock
}

// copyPrefix begins the names of the directories of copies.
const copyPrefix = "wind-copy-"

// copyGrace is how long a directory of a copy may be without its lock.
const copyGrace = time.Second

// NewTempDir makes a directory in temp, or in the directory for temporary files when temp is "", and removes those of
// processes that were killed.
func NewTempDir(temp string) (*TempDir, error) {
	removeStaleCopies(temp)
	dir, err := os.MkdirTemp(temp, copyPrefix)
	if err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, lockFile))
	if _, err := lock.TryLock(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &TempDir{Path: dir, lock: lock}, nil
}

// Remove removes the directory with all that is in it.
func (d *TempDir) Remove() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, d.lock.Unlock())
}

// removeStaleCopies removes what no process has locked. A directory without a
// lock is being made, or was left in between by a process long gone.
func removeStaleCopies(temp string) {
	if temp == "" {
		temp = os.TempDir()
	}
	dirs, _ := filepath.Glob(filepath.Join(temp, copyPrefix+"*"))
	for _, dir := range dirs {
		i, err := os.Stat(dir)
		if err != nil || time.Since(i.ModTime()) < copyGrace {
			continue
		}
		lock := flock.New(filepath.Join(dir, lockFile))
		if ok, err := lock.TryLock(); err == nil && ok {
			_ = os.RemoveAll(dir) // of another user, perhaps
			_ = lock.Unlock()
		}
	}
}
