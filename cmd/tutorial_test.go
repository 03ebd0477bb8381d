package cmd_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadmeTeachesAComponentACommandAndASystem follows the README's chapter on writing a game, from an empty folder, with
// the chapter's own code.
func TestReadmeTeachesAComponentACommandAndASystem(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a game of its own")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(readme), "## Write a game")
	if !ok {
		t.Fatal("the README has no chapter «Write a game»")
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	game := filepath.Join(dir, "mygame")
	shell(t, checkout, "wind init mygame", "go", "run", "./cmd/wind", "init", game)

	for file, code := range codeOf(t, chapter) {
		write(t, filepath.Join(game, file), code)
	}
	line := regexp.MustCompile("add `([^`]+)` as the last line of `Setup`").FindStringSubmatch(chapter)
	if line == nil {
		t.Fatal("the README does not say what to add to Setup")
	}
	source, err := os.ReadFile(filepath.Join(game, "game.go"))
	if err != nil {
		t.Fatal(err)
	}
	last := "ecs.System(w, \"move\", move(size))\n"
	if !strings.Contains(string(source), last) {
		t.Fatalf("the last line of Setup is no longer %s", last)
	}
	write(t, filepath.Join(game, "game.go"), strings.Replace(string(source), last, last+"\t\t"+line[1]+"\n", 1))

	shell(t, game, "go test ./...", "go", "test", "./...")
	out := shell(t, game, "go run . dev --bots 10", "go", "run", ".", "dev", "--bots", "10", "--for", "3s", "--json",
		"--udp", "127.0.0.1:0", "--tcp", "", "--http", "")
	if !regexp.MustCompile(`"clients":10\b`).MatchString(out) || !regexp.MustCompile(`"inputs":[1-9]\d\d`).MatchString(out) {
		t.Errorf("the bots did not play: %s", out)
	}
	shell(t, game, "go run . replay --verify", "go", "run", ".", "replay", "--verify")
	shell(t, game, "gofmt", "sh", "-c", `test -z "$(gofmt -l .)"`)
}

// codeOf returns a chapter's Go blocks by file: the last file that the text before a block names.
func codeOf(t *testing.T, chapter string) map[string]string {
	t.Helper()
	files := map[string]string{}
	name := regexp.MustCompile("`(\\w+\\.go)`")
	block := regexp.MustCompile("(?s)(.*?)\n *```go\n(.*?)\n *```")
	for _, m := range block.FindAllStringSubmatch(chapter, -1) {
		names := name.FindAllStringSubmatch(m[1], -1)
		if len(names) == 0 {
			t.Fatalf("the README does not say where this goes:\n%s", m[2])
		}
		lines := strings.Split(m[2], "\n")
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], "   ") // the list's indentation
		}
		files[names[len(names)-1][1]] = strings.Join(lines, "\n") + "\n"
	}
	if len(files) < 2 {
		t.Fatalf("the README has only %d files of code", len(files))
	}
	return files
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// shell runs a step of the README and returns its standard output.
func shell(t *testing.T, dir, step string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = dir
	var out, log strings.Builder
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", step, err, out.String(), log.String())
	}
	return out.String()
}
