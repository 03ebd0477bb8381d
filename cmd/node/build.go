package node

import (
	"runtime"
	"runtime/debug"

	"github.com/ferris1/wind/ecs"
)

// Build describes this binary as genesis and epoch records hold it: the id is the main module's version, or the commit
// that it was built from, with "-dirty" when there were changes on top.
func Build(game ecs.Game) ecs.Build {
	b := ecs.Build{ID: "unknown", GoVersion: runtime.Version(), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH}
	if s, err := ecs.SchemaOf(game, ecs.Config{}); err == nil {
		b.SchemaHash = s.Hash()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.ID = info.Main.Version
	revision, dirty := "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		case "GOAMD64":
			b.GOAMD64 = s.Value
		}
	}
	if b.ID == "" || b.ID == "(devel)" {
		b.ID = "devel"
		if revision != "" {
			b.ID = revision[:min(12, len(revision))]
		}
		if dirty {
			b.ID += "-dirty"
		}
	}
	return b
}
