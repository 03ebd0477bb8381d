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

// The shelf of a shard is a note beside an embedded server's store of the snapshots that were proven last, the newest
// first: it knows of them when the store of the snapshots itself has lost one. Text lines
//
//	WINDSHF1
//	<lineage>
//	<name of a snapshot>, keepSnapshots of them at most
//	<xxh3 of all before, 16 hexadecimal digits>
//
// written anew after each snapshot, in one step.
const (
	shelfMagic  = "WINDSHF1"
	shelfSuffix = ".snapshots"
)

func shelfPath(store string, ref Ref) string {
	return filepath.Join(store, marksDir, logStream(ref.Cluster, ref.Shard)+shelfSuffix)
}

// readShelf returns the snapshots of the lineage that were proven last, none when nothing was noted. A lineage of "" is
// any.
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
		return nil, nil // of a shard that was here before
	}
	return lines[2:n], nil
}

// shelve notes a snapshot that was proven. A note that cannot be written proves less and never anything wrong.
func shelve(store string, ref Ref, snap persistence.SnapshotInfo) {
	names := []string{snap.Name}
	before, _ := readShelf(store, ref) // a damaged one is forgotten
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
