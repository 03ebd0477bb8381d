package script

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs" //windvet:allow Read runs in the host, outside any tick
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a set.
const (
	MaxModules   = 256       // modules
	MaxSource    = 256 << 10 // bytes of one module
	MaxName      = 64        // bytes of a module's name
	maxAllSource = 4 << 20   // bytes of all modules
	extension    = ".star"
)

// Module is one source file. Its name is a slash-separated path such as "handlers_client/player.star". The folder
// determines what its functions are for, and other modules load() it by this name.
type Module struct {
	Name   string
	Source []byte // UTF-8; nil in Set.Replace removes the module
}

// SHA256 returns the hash of the source in hex.
func (m Module) SHA256() string {
	h := sha256.Sum256(m.Source)
	return hex.EncodeToString(h[:])
}

// check returns an error for a module that no set can contain.
func (m Module) check() error {
	if err := checkName(m.Name); err != nil {
		return err
	}
	if len(m.Source) > MaxSource {
		return fmt.Errorf("script: %s has %d bytes, more than %d", m.Name, len(m.Source), MaxSource)
	}
	if !utf8.Valid(m.Source) {
		return fmt.Errorf("script: %s is not UTF-8", m.Name)
	}
	return nil
}

func checkName(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/", r)
	}
	odd := strings.IndexFunc(name, func(r rune) bool { return !plain(r) })
	if len(name) > MaxName || odd >= 0 || !fs.ValidPath(name) || !strings.HasSuffix(name, extension) {
		return fmt.Errorf("script: module %q: a name is a path of at most %d letters, digits, . _ - and /, and ends in %s", name, MaxName, extension)
	}
	return nil
}

// sorted returns a copy of modules, sorted by name. Two modules of the same name, or more than a set can contain, are
// an error.
func sorted(modules []Module) ([]Module, error) {
	if len(modules) > MaxModules {
		return nil, fmt.Errorf("script: %d modules, more than %d", len(modules), MaxModules)
	}
	s := slices.Clone(modules)
	slices.SortStableFunc(s, func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	total := 0
	for i, m := range s {
		if err := m.check(); err != nil {
			return nil, err
		}
		if i > 0 && s[i-1].Name == m.Name {
			return nil, fmt.Errorf("script: two modules are named %s", m.Name)
		}
		total += len(m.Source)
	}
	if total > maxAllSource {
		return nil, fmt.Errorf("script: the modules have %d bytes together, more than %d", total, maxAllSource)
	}
	return s, nil
}

// ReadFolder is like Read, but reads one folder of fsys. A missing folder, or a nil fsys, has no modules.
func ReadFolder(fsys fs.FS, folder string) ([]Module, error) {
	if fsys == nil {
		return nil, nil
	}
	if _, err := fs.Stat(fsys, folder); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	sub, err := fs.Sub(fsys, folder)
	if err != nil {
		return nil, fmt.Errorf("script: read %s: %w", folder, err)
	}
	return Read(sub)
}

// Read reads every *.star file below fsys, sorted by name, and follows links. It skips names that start with a dot:
// editors' files, version control, and the folders behind a Kubernetes ConfigMap.
func Read(fsys fs.FS) ([]Module, error) {
	r := reading{fsys: fsys, modules: []Module{}}
	if err := r.folder("."); err != nil {
		return nil, fmt.Errorf("script: read: %w", err)
	}
	return sorted(r.modules)
}

// maxFolders bounds how many folders Read visits.
const maxFolders = 1024

// reading is the state of one Read.
type reading struct {
	fsys    fs.FS
	modules []Module
	folders int
}

// folder reads everything below a folder.
func (r *reading) folder(name string) error {
	if r.folders++; r.folders > maxFolders || len(name) > MaxName {
		return fmt.Errorf("%.100s: more than %d folders, or a path longer than the %d bytes of a module's name: does a link lead back to a parent folder?",
			name, maxFolders, MaxName)
	}
	entries, err := fs.ReadDir(r.fsys, name)
	for _, e := range entries {
		if err == nil && !strings.HasPrefix(e.Name(), ".") {
			err = r.entry(path.Join(name, e.Name()), e)
		}
	}
	return err
}

// entry reads one entry of a folder.
func (r *reading) entry(name string, e fs.DirEntry) error {
	isScript, isDir := strings.HasSuffix(name, extension), e.IsDir()
	if e.Type()&fs.ModeSymlink != 0 {
		info, err := fs.Stat(r.fsys, name)
		if err != nil && !isScript {
			return nil // a broken link, but not of a script
		}
		if err != nil {
			return fmt.Errorf("%s is a link that cannot be followed: %w", name, err)
		}
		isDir = info.IsDir()
	}
	switch {
	case isDir:
		return r.folder(name)
	case !isScript:
		return nil
	case len(r.modules) == MaxModules:
		return fmt.Errorf("%s: the folder has more than %d modules", name, MaxModules)
	}
	m, err := readModule(r.fsys, name)
	r.modules = append(r.modules, m)
	return err
}

func readModule(fsys fs.FS, name string) (Module, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return Module{}, err
	}
	if info.Size() > MaxSource {
		return Module{}, fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), MaxSource)
	}
	source, err := fs.ReadFile(fsys, name)
	if source == nil {
		source = []byte{} // nil would remove the module
	}
	return Module{Name: name, Source: source}, err
}
