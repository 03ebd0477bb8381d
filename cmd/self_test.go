package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCommandsAreSpelledAsTheyAreTyped: texts name the running program, with the flags that lead to the same place.
func TestCommandsAreSpelledAsTheyAreTyped(t *testing.T) {
	var out, log strings.Builder
	for _, c := range []struct{ program, call, text, want string }{
		{"./mygame", "dev", "lift the halt with wind shard resume main", "lift the halt with ./mygame shard resume main"},
		{"./mygame", "dev --data run1", "see wind log check --shard main, then wind shard accept-loss main", "see ./mygame log check --data run1 --shard main, then ./mygame shard accept-loss --data run1 main"},
		{"./mygame", "dev --data 'a b'", "wind replay --verify", "./mygame replay --data 'a b' --verify"},
		{"wind", "serve --data d --cluster c", "(wind ps)", "(wind ps --data d --cluster c)"},
		{"wind", "serve --data d", "wind ps --data d shows it; wind ps", "wind ps --data d shows it; wind ps --data d"},
		{"wind", "serve --nats nats://node:secret@h:1 --etcd http://h:2", "wind shard resume main or wind log purge main", "wind shard resume --etcd http://h:2 main or wind log purge --nats nats://node:PASSWORD@h:1 --etcd http://h:2 main"},
		{"wind", "replay --shard x", "wind log tail and wind bots", "wind log tail --shard x and wind bots --shard x"},
		{"wind", "dev --game speak", "wind replay, wind ps", "wind replay --game speak, wind ps"},
		{"./mygame", "dev", "the wind blows; go run ./cmd/wind dev; wind world", "the wind blows; go run ./cmd/wind dev; wind world"},
	} {
		a := mygame(&out, &log)
		a.self.program = c.program
		args := arguments(c.call)
		if err := a.choose(args); err != nil {
			t.Fatal(err)
		}
		verb, rest, err := a.root().Find(args)
		if err == nil {
			err = verb.ParseFlags(rest)
		}
		if err != nil {
			t.Fatal(err)
		}
		a.self.lookAt(verb.Flags())
		if got := a.self.spell(c.text); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.call, c.text, got, c.want)
		}
		if once := a.self.spell(c.text); a.self.spell(once) != once {
			t.Errorf("spelled twice, %s is %s", once, a.self.spell(once))
		}
	}
}

// TestHelpNamesTheProgramThatRuns: a reader can paste the examples of the help.
func TestHelpNamesTheProgramThatRuns(t *testing.T) {
	var out, log strings.Builder
	root := mygame(&out, &log).root()
	for _, c := range append(verbsIn(root), root) {
		help := c.Long + c.Example + c.UsageString()
		if found := aCommand.FindStringSubmatch(help); found != nil && !strings.Contains(found[0], "wind module") {
			t.Errorf("help of %s names another program: %q", c.CommandPath(), found[0])
		}
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "./mygame ") {
				checkExample(t, root, line)
			}
		}
	}
}

// checkExample requires an example's verb and flags to exist.
func checkExample(t *testing.T, root *cobra.Command, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " && ")
	c, rest, err := root.Find(arguments(line)[1:])
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
}

// TestEveryCommandInTheCodeIsAVerb reads every string literal of the repository: self.spell rewrites "wind VERB", so VERB
// must exist.
func TestEveryCommandInTheCodeIsAVerb(t *testing.T) {
	others := []string{"module", "that", "p", "login", "ticket", "gate"} // names, and words that follow Wind's own
	var out, log strings.Builder
	a := mygame(&out, &log)
	a.root()
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.BasicLit)
			if !ok || s.Kind != token.STRING {
				return true
			}
			for _, m := range aCommand.FindAllStringSubmatch(strings.TrimPrefix(s.Value, `"`), -1) {
				found++
				if _, ok := a.self.verbs[m[2]]; !ok && !slices.Contains(others, m[2]) {
					t.Errorf("%s: %q is not a verb", set.Position(s.Pos()), strings.TrimSpace(m[0]))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || found < 60 {
		t.Errorf("%d commands were found: %v", found, err)
	}
}
