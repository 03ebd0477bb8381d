package node

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// ThisBuild describes this binary for genesis and epoch records. Its id is the main module's version, or the commit that it
// was built from. If neither identifies the contents (a build outside version control, or with uncommitted changes), a
// hash of the binary's file is added: the same file has the same id at every start, and other code another one.
func ThisBuild(game ecs.Game) ecs.Build {
	b := ecs.Build{ID: "unknown", GoVersion: runtime.Version(), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH}
	if s, err := ecs.SchemaOf(game, ecs.Config{}); err == nil {
		b.SchemaHash = s.Hash()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		if s.Key == "GOAMD64" {
			b.GOAMD64 = s.Value
		}
	}
	b.ID = buildID(info, ownContent)
	return b
}

// CheckGame returns an error if no shard of a game can be served: its Setup fails, or its registrations cannot be
// replicated to clients.
func CheckGame(game ecs.Game) error {
	s, err := ecs.SchemaOf(game, ecs.Config{})
	if err != nil {
		return err
	}
	if _, err := replication.New(s, replicationOf(game)); err != nil {
		return fmt.Errorf("game %s cannot be replicated to clients: %w", game.Name, err)
	}
	return nil
}

// replicationOf returns how a game's worlds are shown to clients.
func replicationOf(game ecs.Game) replication.Config {
	return replication.Config{RadiusMetres: game.SightMetres}
}

// buildID returns the id of the code that a binary was built from.
func buildID(info *debug.BuildInfo, content func() string) string {
	revision, dirty := "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	id := info.Main.Version
	if id == "" || id == "(devel)" {
		if id = "content"; revision != "" {
			id = revision[:min(12, len(revision))]
			if dirty {
				id += "-dirty"
			}
		}
	}
	if id == "content" || dirty || strings.HasSuffix(id, "+dirty") {
		id += "-" + content()
	}
	return id
}

// ownContent is the hash of the running binary's file, read once.
var ownContent = sync.OnceValue(func() string {
	for _, path := range []string{"/proc/self/exe", executable()} { // the first is the running file, even if it was replaced since
		if hash, err := contentOf(path); err == nil {
			return hash
		}
	}
	return "unknown"
})

// executable returns the binary's path, or "" if the system does not report it.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	return path
}

// contentOf hashes a file; a gigabyte takes a fraction of a second.
func contentOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := xxh3.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%016x", h.Sum64()), nil
}
