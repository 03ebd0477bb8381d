package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/ferris1/wind/persistence"
)

// The shelf of a shard is a note beside an embedded server's store. It lists the most recently proven snapshots, newest
// first, and so reveals whether the store of the snapshots has lost one. It consists of text lines:
//
//	WINDSHF1
//	<lineage>
//	<name of a snapshot>, keepSnapshots of them at most
//	<xxh3 of all before, 16 hexadecimal digits>
//
// It is replaced atomically after each snapshot.
const (
	shelfMagic  = "WINDSHF1"
	shelfSuffix = ".snapshots"
)

func shelfPath(store string, ref Ref) string {
	return filepath.Join(store, marksDir, logStream(ref.Cluster, ref.Shard)+shelfSuffix)
}

// readShelf returns the lineage's most recently proven snapshots, or nil if none were noted. Lineage "" matches any.
func readShelf(store string, ref Ref) ([]string, error) {
	path := shelfPath(store, ref)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	n := len(lines) - 1
	body := strings.Join(lines[:n], "\n") + "\n"
	if n < 2 || lines[0] != shelfMagic || lines[n] != fmt.Sprintf("%016x", xxh3.HashString(body)) {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	if ref.Lineage != "" && lines[1] != ref.Lineage {
		return nil, nil // left by an earlier shard of this name
	}
	return lines[2:n], nil
}

// shelve notes a proven snapshot. A note that cannot be written proves less but never anything wrong.
func shelve(store string, ref Ref, snap persistence.SnapshotInfo) {
	names := []string{snap.Name}
	before, _ := readShelf(store, ref) // a damaged note is dropped
	for _, name := range before {
		if name != snap.Name && len(names) < keepSnapshots {
			names = append(names, name)
		}
	}
	body := shelfMagic + "\n" + ref.Lineage + "\n" + strings.Join(names, "\n") + "\n"
	if os.MkdirAll(filepath.Join(store, marksDir), 0o700) == nil {
		_ = replaceFile(shelfPath(store, ref), []byte(body+fmt.Sprintf("%016x\n", xxh3.HashString(body))))
	}
}
