package main

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTheGeneratedServerIsGo(t *testing.T) {
	o := options{connections: 100, depths: []int{1, 64}, set: []setting{{"pitaya.concurrency.handler.dispatch", `5"0`}}}
	text, err := (&build{Module: "example.com/pitaya/v3", Settings: o.settings()}).generate()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "main.go", text, parser.AllErrors)
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		if strings.HasPrefix(path, "example.com/pitaya/v3/pkg") {
			own++
		}
	}
	if own < 5 {
		t.Errorf("%d imports of the module under test, want those of Pitaya:\n%s", own, text)
	}
	have := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			k, _ := strconv.Unquote(kv.Key.(*ast.BasicLit).Value)
			have[k], _ = strconv.Unquote(kv.Value.(*ast.BasicLit).Value)
		}
		return true
	})
	for key, want := range map[string]string{
		"pitaya.concurrency.handler.dispatch":            `5"0`,
		"pitaya.handler.messages.compression":            "false",
		"pitaya.cluster.rpc.server.nats.buffer.messages": "8000", // 100 connections of 64 requests and a quarter more
	} {
		if have[key] != want {
			t.Errorf("%s is %q, want %q", key, have[key], want)
		}
	}
}

// repository makes a git repository with two commits of a module and returns the older one and an annotated tag of it.
func repository(t *testing.T, module string) (dir, commit, tag string) {
	t.Helper()
	dir = t.TempDir()
	git := func(args ...string) string {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "--quiet")
	write("go.mod", "module "+module+"\n\ngo 1.23\n")
	write("go.sum", "")
	write("age", "old")
	git("add", ".")
	git("commit", "--quiet", "-m", "old")
	commit = git("rev-parse", "HEAD")
	git("tag", "-a", "-m", "old", "v3")
	tag = git("rev-parse", "v3")
	write("age", "new")
	git("commit", "--quiet", "-a", "-m", "new")
	return dir, commit, tag
}

func TestExactlyTheNamedCommitIsCheckedOut(t *testing.T) {
	dir, commit, tag := repository(t, "example.com/pitaya/v3")
	out := filepath.Join(t.TempDir(), "out")
	if err := checkout(context.Background(), dir, commit, out); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "age")); err != nil || string(b) != "old" {
		t.Errorf("have %q, %v", b, err)
	}
	unknown := strings.Repeat("ab", 20)
	for name, one := range map[string]struct{ source, commit, want string }{
		"a commit that the repository does not have": {dir, unknown, "fetch commit " + unknown},
		"a tag":           {dir, tag, "names commit " + commit},
		"no repository":   {t.TempDir(), commit, "name a clone of Pitaya"},
		"no such folder":  {filepath.Join(dir, "none"), commit, "name a clone of Pitaya"},
		"looks as a flag": {"--upload-pack=true", commit, "name a clone of Pitaya"},
	} {
		if err := checkout(context.Background(), one.source, one.commit, filepath.Join(t.TempDir(), "out")); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v, want %s", name, err, one.want)
		}
	}
}

// TestABuildThatFailsSaysWhy builds the server against a module without Pitaya's packages, and without a Go proxy.
func TestABuildThatFailsSaysWhy(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=readonly") // of the reader; the build overrides it
	for module, want := range map[string]string{
		"example.com/pitaya/v3": "the Go proxy (go env GOPROXY) must have",
		"example.com/pitaya/v2": "holds module example.com/pitaya/v2",
	} {
		dir, commit, _ := repository(t, module)
		o := options{source: dir, commit: commit, connections: 1, depths: []int{1}, serverCore: -1, loadCore: -1}
		_, err := buildPitaya(context.Background(), o, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), commit) {
			t.Errorf("%s: %v, want %s", module, err, want)
		}
	}
}

func TestAToolEndsWithTheRun(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := tool(ctx, "", nil, "sleep", "600"); !errors.Is(err, why) {
		t.Errorf("%v, want the reason for the end", err)
	}
	if _, err := tool(context.Background(), "", nil, "no-such-program"); err == nil || !strings.Contains(err.Error(), "put it on PATH") {
		t.Error(err)
	}
	if _, err := tool(context.Background(), "", nil, "sh", "-c", "echo cause >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "cause") || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
}
