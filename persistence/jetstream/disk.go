package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ferris1/wind/persistence"
)

// probeBytes is how much CheckDisk writes: more than a file system could store without allocating a block.
const probeBytes = 64 << 10

// ProbePrefix is the prefix of the names of the files that CheckDisk writes and removes.
const ProbePrefix = ".wind-probe-"

// CheckDisk proves that dir is writable and that at least need bytes are free there: it writes a small file, syncs it
// and removes it. The number of free bytes alone does not reveal a quota, a read-only mount or a broken disk. The error
// wraps persistence.ErrDiskFull or persistence.ErrReadOnly and names the directory and its free space. For a directory
// that does not exist yet, CheckDisk uses its nearest existing parent.
func CheckDisk(dir string, need int64) error {
	at, err := existing(dir)
	if err != nil {
		return Unwritable(dir, err)
	}
	if err := writeProbe(at); err != nil {
		return Unwritable(dir, err)
	}
	if free := freeBytes(at); free < need {
		return fmt.Errorf("%w: %s has %s free and needs %s", persistence.ErrDiskFull, dir, bytesText(free), bytesText(need))
	}
	return nil
}

// FreeBytes returns how many bytes an unprivileged process may still write to the disk of dir, or of its nearest parent that exists.
func FreeBytes(dir string) int64 {
	at, err := existing(dir)
	if err != nil {
		return 0
	}
	return freeBytes(at)
}

// Unwritable explains an error of a write below dir. It returns errors unrelated to the disk unchanged.
func Unwritable(dir string, err error) error {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e == syscall.ENOSPC || e == errQuota:
		at, _ := existing(dir)
		return fmt.Errorf("%w: %s has %s free (%w)", persistence.ErrDiskFull, dir, bytesText(freeBytes(at)), e)
	case e == syscall.EROFS, e == syscall.EIO, errors.Is(e, fs.ErrPermission):
		return fmt.Errorf("%w: %s (%w)", persistence.ErrReadOnly, dir, e)
	}
	return err
}

// existing returns dir, or the nearest directory above it that exists.
func existing(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return dir, err
	}
	for {
		if _, err = os.Stat(at); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return at, err
		}
		at = filepath.Dir(at)
	}
}

// writeProbe writes, syncs and removes a file in dir.
func writeProbe(dir string) error {
	f, err := os.CreateTemp(dir, ProbePrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// bytesText formats a size for people.
func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
