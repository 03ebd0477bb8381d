package folder

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Limits of a tree: a link to a folder above it would never end.
const (
	maxFolders = 1024
	maxLinks   = 40 // in one path, like the operating system's limit
)

// tree is what a folder of scripts consists of, by real paths. Everything in its folders concerns it, and so do some
// other names: the links that lead to it, and the files behind links.
type tree struct {
	folders map[string]bool
	names   map[string]bool
}

// walk returns the tree of a folder. With an error, it returns what it had found until then.
func walk(dir string) (tree, error) {
	t := tree{map[string]bool{}, map[string]bool{}}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", dir)
	}
	if err != nil {
		t.path(dir) // a link that leads nowhere yet
		return t, err
	}
	return t, t.folder(dir)
}

// folder adds a folder and everything below it.
func (t tree) folder(dir string) error {
	real := t.path(dir)
	if t.folders[real] {
		return nil // two links lead to it, or a link leads back
	}
	t.folders[real] = true
	if len(t.folders) > maxFolders {
		return fmt.Errorf("%s has more than %d folders", dir, maxFolders)
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := t.entry(filepath.Join(real, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// entry adds one entry of a folder.
func (t tree) entry(path string, e fs.DirEntry) error {
	if e.IsDir() {
		return t.folder(path)
	}
	if e.Type()&fs.ModeSymlink == 0 {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return t.folder(path)
	}
	t.names[t.path(path)] = true
	return nil
}

// path adds the links along a path and returns the real path, resolved as far as it exists.
func (t tree) path(path string) (real string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	real = filepath.VolumeName(path) + string(filepath.Separator)
	rest := strings.Split(path[len(real):], string(filepath.Separator))
	for links := 0; len(rest) > 0; {
		next := filepath.Join(real, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(next)
		if err != nil { // not a link, or does not exist
			real = next
			continue
		}
		t.names[next] = true
		if links++; links > maxLinks {
			return next
		}
		if filepath.IsAbs(target) {
			real = filepath.VolumeName(target) + string(filepath.Separator)
			target = target[len(real):]
		}
		rest = append(strings.Split(target, string(filepath.Separator)), rest...)
	}
	return real
}

// dirs returns the folders to watch.
func (t tree) dirs() iter.Seq[string] {
	all := maps.Clone(t.folders)
	for name := range t.names {
		all[filepath.Dir(name)] = true
	}
	return maps.Keys(all)
}

func (t tree) watches(dir string) bool {
	for d := range t.dirs() {
		if d == dir {
			return true
		}
	}
	return false
}

// concerns reports whether a change to a name may change the scripts.
func (t tree) concerns(name string) bool {
	return t.names[name] || t.folders[filepath.Dir(name)] || t.folders[name]
}
