package persistence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Folder is Archives in a directory, which nodes of one cluster may share.
type Folder struct{ dir string }

// NewFolder returns the archives in a directory, which need not exist yet.
func NewFolder(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("persistence: the folder of archives: %w", err)
	}
	return &Folder{dir}, nil
}

// Place returns the file's absolute path.
func (f *Folder) Place(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Create implements Archives. A file that was begun ends in ".partial" until it is whole and synced.
func (f *Folder) Create(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := f.valid(name); err != nil {
		return err
	}
	if err := makeFolder(filepath.Dir(f.Place(name))); err != nil {
		return fmt.Errorf("persistence: the folder of archives: %w", err)
	}
	return writeWhole(f.Place(name), func(w io.Writer) error {
		return errors.Join(write(w), ctx.Err())
	})
}

// makeFolder creates a directory with its parents, so that a crash does not lose their names.
func makeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// Open implements Archives.
func (f *Folder) Open(_ context.Context, name string) (Content, int64, error) {
	if err := f.valid(name); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(f.Place(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", f.Place(name))
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// List implements Archives.
func (f *Folder) List(_ context.Context, prefix string) (names []string, err error) {
	dir, begin := path.Split(prefix)
	entries, err := os.ReadDir(f.Place(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), partial)
		if !e.IsDir() && strings.HasPrefix(name, begin) && (len(names) == 0 || names[len(names)-1] != dir+name) {
			names = append(names, dir+name)
		}
	}
	return names, nil
}

// Remove implements Archives.
func (f *Folder) Remove(_ context.Context, name string) error {
	if err := f.valid(name); err != nil {
		return err
	}
	for _, file := range []string{f.Place(name), f.Place(name) + partial} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(filepath.Dir(f.Place(name)))
}

// valid refuses names that lead out of the folder.
func (f *Folder) valid(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, `\:`) || strings.HasSuffix(name, partial) {
		return fmt.Errorf("persistence: %q cannot be the name of an archive", name)
	}
	return nil
}
