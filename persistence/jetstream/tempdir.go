package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// TempDir is a directory for a copy of stored data, locked while this process runs. The next NewTempDir with the same
// parent removes what a killed process has left.
type TempDir struct {
	Path string
	lock *flock.Flock
}

// copyPrefix is the prefix of the names of the directories of copies.
const copyPrefix = "wind-copy-"

// copyGrace is how long a copy's directory may exist without its lock.
const copyGrace = time.Second

// NewTempDir creates a directory in temp, or in the directory for temporary files if temp is "". It first removes those
// that killed processes have left.
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

// Remove removes the directory and its contents.
func (d *TempDir) Remove() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, d.lock.Unlock())
}

// removeStaleCopies removes the directories that no process has locked. A young directory without a lock may still be
// under construction; an older one was left by a process that has ended.
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
			_ = os.RemoveAll(dir) // it may belong to another user
			_ = lock.Unlock()
		}
	}
}
