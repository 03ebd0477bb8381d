package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/examples/speak"
)

// mygame returns a game's own binary, called as ./mygame.
func mygame(out, log *strings.Builder) *app {
	return newApp(&self{program: "./mygame", name: "mygame"}, arena.Game, out, log,
		[]Option{WithGame(speak.Game, WithServices(speak.Services...), WithScripts(speak.Scripts(), ""))})
}

// TestWrongCalls makes the calls in testdata/wrong.txt, with their environment variables, beside a file afile, and compares their exit codes and errors. UPDATE_SCRIPTS=1 rewrites
// the file: read the new sentences aloud.
func TestWrongCalls(t *testing.T) {
	path, err := filepath.Abs("testdata/wrong.txt")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("afile", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(table)), "\n\n") {
		call, want, _ := strings.Cut(block, "\n")
		if strings.HasPrefix(call, "#") {
			now.WriteString(block + "\n\n")
			continue
		}
		var out, log strings.Builder
		variables, line, _ := strings.Cut(strings.TrimPrefix(call, "$ "), "mygame")
		for _, v := range strings.Fields(variables) {
			name, value, _ := strings.Cut(v, "=")
			t.Setenv(name, value)
		}
		code := mygame(&out, &log).run(arguments(line))
		for _, v := range strings.Fields(variables) {
			name, _, _ := strings.Cut(v, "=")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
		got := fmt.Sprintf("%d %s", code, strings.TrimSpace(log.String()))
		now.WriteString(call + "\n" + got + "\n\n")
		if got != want && os.Getenv("UPDATE_SCRIPTS") == "" {
			t.Errorf("%s\n got %s\nwant %s", call, got, want)
		}
		unreadable(t, call, got)
	}
	if os.Getenv("UPDATE_SCRIPTS") == "1" {
		if err := os.WriteFile(path, []byte(strings.TrimSpace(now.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// arguments splits a command line; an argument in quotes may hold spaces.
func arguments(line string) (args []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		args = append(args, m[1]+m[2])
	}
	return args
}

// jargon matches words that a person at a shell cannot know, and names of another program.
var jargon = regexp.MustCompile(`strconv|arg\(s\)|invalid argument|invalid syntax|unknown command|missing unit|\bwind [a-z]|%!|context deadline`)

func unreadable(t *testing.T, call, text string) {
	t.Helper()
	if found := jargon.FindString(text); found != "" {
		t.Errorf("%s\nsays %q: %s", call, found, text)
	}
}

// TestEveryFlagRefusesWhatItCannotTake calls every verb with an unknown flag, and with a malformed value for each flag that
// does not take text, as a flag and as a variable.
func TestEveryFlagRefusesWhatItCannotTake(t *testing.T) {
	var out, log strings.Builder
	calls := 0
	wrong := func(args ...string) {
		t.Helper()
		calls++
		log.Reset()
		call := strings.Join(args, " ")
		if code := mygame(&out, &log).run(args); code != exitUsage || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s ends with %d and says %q, want %d and one line", call, code, log.String(), exitUsage)
		}
		unreadable(t, call, log.String())
	}
	for _, c := range verbsIn(mygame(&out, &log).root()) {
		path := strings.Fields(pathOf(c))
		wrong(append(path, "--nonsense")...)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || strings.HasPrefix(f.Value.Type(), "string") || slices.Contains([]string{"host", "name"}, f.Value.Type()) {
				return
			}
			wrong(append(path, "--"+f.Name+"=nonsense")...)
			t.Setenv(envName(f.Name), "nonsense")
			wrong(append(path, requiredBy(c)...)...)
			if !strings.Contains(log.String(), envName(f.Name)) {
				t.Errorf("%v: no %s in %s", path, envName(f.Name), log.String())
			}
			if err := os.Unsetenv(envName(f.Name)); err != nil {
				t.Error(err)
			}
		})
	}
	if calls < 150 {
		t.Errorf("only %d calls were made", calls)
	}
}

// TestAFlagTakesTheSameValuesInEveryVerb: its environment variable sets it in all verbs that have it.
func TestAFlagTakesTheSameValuesInEveryVerb(t *testing.T) {
	var out, log strings.Builder
	type first struct{ verb, takes string }
	seen := map[string]first{"capacity": {takes: "float64"}} // of a node
	for _, c := range verbsIn(mygame(&out, &log).root()) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if pathOf(c) == "service" && f.Name == "capacity" {
				return // players: whoever runs nodes and services in one environment gives it as a flag
			}
			switch before := seen[f.Name]; before.takes {
			case "":
				seen[f.Name] = first{pathOf(c), f.Value.Type()}
			case f.Value.Type():
			default:
				t.Errorf("--%s is a %s for %s, and a %s for %s", f.Name, before.takes, before.verb, f.Value.Type(), pathOf(c))
			}
		})
	}
	if len(seen) < 50 {
		t.Errorf("only %d flags were compared", len(seen))
	}
}

// TestVerbsAgreeOnExitCodes calls every verb that takes --data with a folder that is not there, which fails, and every verb
// that takes --cluster with an invalid name, which is wrong usage.
func TestVerbsAgreeOnExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, log strings.Builder
	ends := func(want int, says string, args ...string) {
		t.Helper()
		log.Reset()
		if code := mygame(&out, &log).run(args); code != want || !strings.Contains(log.String(), says) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%v ends with %d and says %q, want %d and %q", args, code, log.String(), want, says)
		}
	}
	calls := 0
	for _, c := range verbsIn(mygame(&out, &log).root()) {
		verb, args := pathOf(c), append(strings.Fields(pathOf(c)), requiredBy(c)...)
		if verb == "service" {
			args = []string{"service", "game", "--game", "speak"}
		}
		if verb == "room remove" {
			args = append(args, "r-1") // or a selection
		}
		begins := verb == "dev" || verb == "serve" || verb == "infra" || verb == "doctor" || strings.HasPrefix(verb, "bench ") || verb == "log import"
		if c.Flag("data") != nil && !begins { // those that begin create the folder
			calls++
			ends(exitFailed, "nowhere", append(args, "--data", "nowhere")...)
		}
		if c.Flag("cluster") != nil && verb != "log import" { // which compares it with the file's
			calls++
			ends(exitUsage, `--cluster "A B" is not a name`, append(args, "--cluster", "A B")...)
		}
	}
	if calls < 28 {
		t.Errorf("only %d calls were made", calls)
	}
}

// requiredBy returns a verb's required arguments.
func requiredBy(c *cobra.Command) (args []string) {
	for _, word := range strings.Fields(c.Use)[1:] {
		if !strings.HasPrefix(word, "[") {
			args = append(args, "x")
		}
	}
	return args
}
