package cmd

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// badTag is a component with a misspelled tag.
type badTag struct {
	X float64 `wind:"quant=1"`
	Y float64 `wind:"q=0.01,range=-1000..1000"`
}

// TestAGameThatCannotBeServedSaysWhy: each verb that needs the game ends with Setup's error, and creates nothing.
func TestAGameThatCannotBeServedSaysWhy(t *testing.T) {
	game := ecs.Game{Name: "bad", TickRate: 30, Setup: func(w *ecs.World) { ecs.Component[badTag](w, "position", ecs.Spatial) }}
	const want = `ecs: component "position": badTag.X: the tag wind:"quant=1" has the key "quant": did you mean q?`
	data := t.TempDir()
	for _, args := range [][]string{
		{"doctor", "--data", data, "--udp", "", "--tcp", "", "--http", ""},
		{"dev", "--data", data, "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "", "--for", "1s"},
		{"serve", "--data", data, "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", "", "--for", "1s"},
	} {
		var stdout, stderr bytes.Buffer
		if code := Run(game, args, &stdout, &stderr); code != 1 || !strings.Contains(stdout.String()+stderr.String(), want) {
			t.Errorf("%q ended with %d: %s%s", args, code, &stdout, &stderr)
		}
	}
}

// TestAGameWhoseSetupPanicsSaysWhy: each verb that needs the game ends with one sentence that names the game, the panic and
// its line, not with a trace. The debug log has the trace.
func TestAGameWhoseSetupPanicsSaysWhy(t *testing.T) {
	game := ecs.Game{Name: "bad", TickRate: 30, Setup: func(*ecs.World) {}}
	data := t.TempDir()
	node := []string{"--data", data, "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http", ""}
	var stdout, stderr bytes.Buffer
	played(t, game, data)
	game.Setup = func(*ecs.World) { panic("no table of prices") }
	const want = "ecs: the Setup of game bad panics: no table of prices, in cmd.TestAGameWhoseSetupPanicsSaysWhy.func2 (cmd/setup_test.go:"
	for _, args := range [][]string{
		append([]string{"dev", "--for", "1s", "--log-level", "debug"}, node...),
		append([]string{"dev", "--for", "1s"}, node...),
		append([]string{"serve", "--for", "1s"}, node...),
		append([]string{"doctor"}, node...),
		{"replay", "--data", data, "--verify"},
		{"replay", "--data", data, "--to", "3", "--dump"},
		{"log", "check", "--data", data},
	} {
		stdout.Reset()
		stderr.Reset()
		code, all := Run(game, args, &stdout, &stderr), stdout.String()+stderr.String()
		if code != 1 || !strings.Contains(all, want) || strings.Contains(all, "goroutine") != slices.Contains(args, "debug") || strings.Contains(all, "can be replayed") {
			t.Errorf("%q ended with %d: %s", args, code, all)
		}
	}
}

// TestAnOptionThatIsAFlagAlready: an option with the name of a flag is an error, not a panic of the flags' package.
func TestAnOptionThatIsAFlagAlready(t *testing.T) {
	for want, options := range map[string]any{
		"its option Data cannot become the flag --data, which dev already has":           struct{ Data string }{},
		"its option Seed cannot become the flag --seed":                                  struct{ Seed uint64 }{},
		"its option LogLevel cannot become the flag --log-level, which bots already has": struct{ LogLevel string }{},
		"option Far is a float32, want bool, int32, int64, uint32, uint64, float64 or":   struct{ Far float32 }{},
	} {
		var stdout, stderr bytes.Buffer
		game := ecs.Game{Name: "bad", TickRate: 30, Options: options, Setup: func(*ecs.World) {}}
		if code := Run(game, []string{"version"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%d: %s, want %q", code, &stderr, want)
		}
	}
}
