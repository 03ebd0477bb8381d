package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A game's module with its own ecs package, since windvet goes by the end of the import path.
var module = map[string]string{
	"go.mod":     "module demo\n\ngo 1.26\n",
	"ecs/ecs.go": "package ecs\n\ntype World struct{}\n\nfunc System(w *World, name string, fn any) {}\n",
	"game.go": `package demo

import "demo/ecs"

type Pos struct{ X, V float64 }

func Setup(w *ecs.World) { ecs.System(w, "move", move) }

func move(p *Pos) { p.X += p.V * 0.3 }
`,
}

func TestFindsAndFixesAloneAndAsVettool(t *testing.T) {
	dir := t.TempDir()
	for name, text := range module {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	windvet := filepath.Join(dir, "bin", "windvet")
	if out, err := exec.Command("go", "build", "-o", windvet, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(name string, args ...string) (string, int) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	const finding = "game.go:9:28: this product may be fused"
	if out, code := run(windvet, "./..."); code != 1 || !strings.Contains(out, finding) {
		t.Fatalf("windvet exits with %d:\n%s", code, out)
	}
	if out, code := run("go", "vet", "-vettool="+windvet, "./..."); code == 0 || !strings.Contains(out, finding) {
		t.Fatalf("go vet exits with %d:\n%s", code, out)
	}
	if out, code := run(windvet, "-fix", "./..."); code != 0 {
		t.Fatalf("windvet -fix exits with %d:\n%s", code, out)
	}
	if out, code := run(windvet, "./..."); code != 0 {
		t.Fatalf("after -fix windvet exits with %d:\n%s", code, out)
	}
	fixed, err := os.ReadFile(filepath.Join(dir, "game.go"))
	if err != nil || !strings.Contains(string(fixed), "p.X += float64(p.V * 0.3)") {
		t.Fatalf("%v\n%s", err, fixed)
	}
}
