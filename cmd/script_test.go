package cmd_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wind":  func() { cmd.Main(arena.Game, cmd.WithBots(arena.NewBot), cmd.WithArchives(shelf, "shelf")) },
		"match": func() { cmd.Main(match) },
	})
}

// match is a game that ends.
var match = ecs.Game{Name: "match", TickRate: 20, Setup: func(w *ecs.World) {
	ecs.Outgoing[matchScore](w, "score")
	ecs.System(w, "whistle", func(t *ecs.Tick) {
		if t.Now() == 30 {
			t.End(matchScore{3, 2})
		}
	})
}}

type matchScore struct{ Red, Blue int32 }

// shelf stands for an object store: its URL has the path of a folder.
func shelf(_ context.Context, url string) (persistence.Archives, error) {
	return persistence.NewFolder(strings.TrimPrefix(url, "shelf://"))
}

// TestScripts runs the stories in testdata/script, each in an empty folder, with the wind binary as a command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TMPDIR", e.WorkDir)
			return os.MkdirAll(e.WorkDir, 0o755)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") == "1",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"eventually": eventually,
			"cut":        cut,
			"flip":       flip,
			"occupy":     occupy,
			"jsonhas":    jsonHas,
			"pick":       pick,
			"waitfile":   waitFile,
		},
	})
}
