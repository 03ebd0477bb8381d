package gen

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Lang is a language to generate.
type Lang string

// The languages.
const (
	Go     Lang = "go"
	Star   Lang = "star"
	Python Lang = "python"
)

// Langs lists all languages.
var Langs = []Lang{Go, Star, Python}

// Output is the desired content of one file.
type Output struct {
	Path    string   // below the output folder, with slashes
	Content []byte   // the whole file
	Added   []string // functions to add to a skeleton
	marker  string   // generated files begin with it; "" for a skeleton
}

// Generate returns the desired files below dir. It reads there and writes nothing.
func (s *Schema) Generate(dir string, langs ...Lang) ([]Output, error) {
	var all []Output
	for _, lang := range langs {
		var outputs []Output
		var err error
		switch lang {
		case Go:
			outputs, err = s.golang(dir)
		case Star:
			outputs, err = s.star(dir)
		case Python:
			outputs, err = s.python(dir)
		default:
			err = fmt.Errorf("%q is not one of go, star, python", lang)
		}
		if err != nil {
			return nil, fmt.Errorf("gen: %w", err)
		}
		all = append(all, outputs...)
	}
	from := map[string]bool{}
	for _, o := range all {
		if from[o.Path] {
			return nil, fmt.Errorf("gen: two .proto files with the same name would both generate %s: generate them into separate folders", o.Path)
		}
		from[o.Path] = true
	}
	return all, nil
}

// Stale lists the outputs that differ from the files on disk.
func Stale(dir string, outputs []Output) ([]Output, error) {
	var stale []Output
	for _, o := range outputs {
		have, err := os.ReadFile(o.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("gen: %w", err)
		}
		if err != nil || !bytes.Equal(have, o.Content) {
			stale = append(stale, o)
		}
	}
	return stale, nil
}

// Write writes the outputs that differ from the files on disk, and returns them. Before it writes anything, it checks
// that it would not replace a file that it did not generate. Each file is replaced atomically.
func Write(dir string, outputs []Output) ([]Output, error) {
	stale, err := Stale(dir, outputs)
	if err != nil {
		return nil, err
	}
	for _, o := range stale {
		have, err := os.ReadFile(o.path(dir))
		if err == nil && !bytes.HasPrefix(have, []byte(o.marker)) {
			return nil, fmt.Errorf("gen: %s was not written by wind gen: move it away", o.path(dir))
		}
	}
	for _, o := range stale {
		if err := o.write(dir); err != nil {
			return nil, fmt.Errorf("gen: %w", err)
		}
	}
	return stale, nil
}

func (o Output) path(dir string) string { return filepath.Join(dir, filepath.FromSlash(o.Path)) }

// write writes a temporary file beside the target and renames it, so that no reader, such as a watcher of scripts, sees
// half a file.
func (o Output) write(dir string) error {
	path := o.path(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".gen-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the rename has removed it if all went well
	_, err = f.Write(o.Content)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// code is text being built.
type code struct{ strings.Builder }

// line adds one formatted line.
func (c *code) line(format string, args ...any) {
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}
