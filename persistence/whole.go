package persistence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// partial ends the name of a file that is still being written.
const partial = ".partial"

// writeWhole makes a file of what write writes. The file gets its name, in place of one that has it, once all of it is on
// the disk. If write fails, writeWhole leaves no file and returns that error.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path+partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("persistence: %w", err)
	}
	err = write(f)
	if err == nil {
		err = writing(path, f.Sync())
	}
	err = errors.Join(err, writing(path, f.Close()))
	if err == nil {
		err = writing(path, os.Rename(path+partial, path))
	}
	if err != nil {
		_ = os.Remove(path + partial)
		return err
	}
	return writing(path, syncFolder(filepath.Dir(path)))
}

func writing(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("persistence: writing %s: %w", path, err)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" { // which cannot sync folders; NTFS journals their names
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
