package cmd_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wind": func() { cmd.Main(arena.Game, cmd.WithBots(arena.NewBot)) },
	})
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
			"flip":       flip,
			"occupy":     occupy,
			"jsonhas":    jsonHas,
			"waitfile":   waitFile,
		},
	})
}
