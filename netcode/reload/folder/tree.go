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

// Bounds of a tree: of a link that leads back to a folder above it there is no end.
const (
	maxFolders = 1024
	maxLinks   = 40 // in one path, as the system has it
)

// tree is what a folder of scripts consists of, by real paths: everything in a folder concerns it, and some names beside:
// a link that leads to it, and a file behind one.
type tree struct {
	folders map[string]bool
	names   map[string]bool
}

// walk finds the tree of a folder. With an error the tree is what was found until then.
func walk(dir string) (tree, error) {
	t := tree{map[string]bool{}, map[string]bool{}}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", dir)
	}
	if err != nil {
		t.path(dir) // a link that leads nowhere yet
		return t, err
	}
	return t, t.folder(dir)
}

// folder takes in a folder and what is below it.
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

// entry takes in one entry of a folder.
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

// path takes in the links that a path leads through, and returns where it leads: as far as there is something.
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
		if err != nil { // no link, or nothing at all
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

// dirs are the folders to watch.
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

// concerns reports whether a change of a name may change the scripts.
func (t tree) concerns(name string) bool {
	return t.names[name] || t.folders[filepath.Dir(name)] || t.folders[name]
}
