package cmd

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"golang.org/x/mod/modfile"

	"github.com/ferris1/wind/ecs"
)

//go:embed template
var templates embed.FS

const modulePath = "github.com/ferris1/wind"

func (a *app) init() *cobra.Command {
	var replace string
	var services bool
	c := &cobra.Command{
		Use:   "init NAME",
		Short: "Write a small game module: a component, a command, a system, a test and a main",
		Long: `Writes a game into the new folder NAME, or with "." into the current one if it is empty. The module builds and runs as
it is; its binary has every verb of this one. A README says how to run and test it.

With --services the game also has a service, lobby, with handlers in Go and in Starlark, messages in a .proto file, its
own login with a signed token, each with a test, and a client.

Until the wind module is published, go.mod replaces it with a checkout: the one that this binary was built from, or the one
that --replace names.`,
		Example: "  wind init mygame && cd mygame && go run . dev --bots 10\n  wind init mygame --services",
	}
	c.Flags().StringVar(&replace, "replace", "", "checkout of wind that the new module builds against (default: the one that this binary was built from)")
	c.Flags().BoolVar(&services, "services", false, "also write a service, its scripts and a login")
	a.jsonFlag(c)
	c.RunE = a.verb(func(_ context.Context, args []string) error {
		path, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		if err := ecs.ValidName(name, ecs.MaxName); err != nil {
			return usagef("init: the folder's name becomes the game's: %v", err)
		}
		if slices.Contains(strings.Fields(goNames), name) {
			return usagef("init: the folder's name becomes the module's, and Go has a package %s of its own: choose another name", name)
		}
		checkout, err := findCheckout(replace)
		if err != nil {
			return err
		}
		dir, err := emptyFolder(args[0])
		if err != nil {
			return err
		}
		files, err := writeGame(dir, name, checkout, services)
		if err != nil {
			return err
		}
		return a.print(map[string]any{"name": name, "dir": dir, "files": files, "replace": checkout},
			fmt.Sprintf("Wrote %s in %s.", strings.Join(files, ", "), path),
			fmt.Sprintf("Its go.mod builds against %s: on another machine, change that replace line to a checkout there.", checkout),
			fmt.Sprintf("Next: cd %s && go test ./... && go run . dev --bots 10", dir))
	})
	return c
}

// goNames are names that a module cannot have: its packages would be mistaken for those of Go's library.
const goNames = "archive bufio bytes cmd cmp compress container context crypto database debug embed encoding errors expvar flag fmt " +
	"go hash html image index internal io iter log main maps math mime net os path plugin reflect regexp runtime simd slices sort std " +
	"strconv strings structs sync syscall testing text time toolchain unicode unique unsafe vendor weak"

// findCheckout returns the folder of a wind checkout: the given one, or the one that this binary was built from.
func findCheckout(given string) (string, error) {
	if given != "" {
		dir, err := filepath.Abs(given)
		if err != nil {
			return "", err
		}
		if !isCheckout(dir) {
			return "", fmt.Errorf("init: %s is not a checkout of %s: no go.mod there names that module", given, modulePath)
		}
		return dir, nil
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		if dir := filepath.Dir(filepath.Dir(file)); isCheckout(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("init: the checkout that this binary was built from is not on this machine: name another with --replace DIR")
}

func isCheckout(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && modfile.ModulePath(b) == modulePath
}

// emptyFolder makes the folder for a game, and refuses one that is not empty.
func emptyFolder(path string) (string, error) {
	if err := notBelowFile(path); err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("init: cannot make the folder: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("init: %s is not empty (it holds %s): name a new folder", path, entries[0].Name())
	}
	return path, nil
}

// servicesTemplate is the part of the template that only a game with services has.
const servicesTemplate = "template/services"

func writeGame(dir, name, checkout string, services bool) (files []string, err error) {
	err = fs.WalkDir(templates, "template", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err == nil && path == servicesTemplate && !services:
			return fs.SkipDir
		case err != nil || d.IsDir():
			return err
		}
		t, err := template.ParseFS(templates, path)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, map[string]any{"Name": name, "Services": services}); err != nil {
			return err
		}
		file := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(path, servicesTemplate+"/"), "template/"), ".tmpl")
		if file == "gitignore" {
			file = ".gitignore"
		}
		files = append(files, file)
		out := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		return os.WriteFile(out, b.Bytes(), 0o644)
	})
	if err != nil {
		return nil, err
	}
	if err := writeModule(dir, name, checkout); err != nil {
		return nil, err
	}
	return append(files, "go.mod", "go.sum"), nil
}

// writeModule writes go.mod and go.sum with the checkout's own versions: the game builds at once, with versions that were
// tested together.
func writeModule(dir, name, checkout string) error {
	b, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		return err
	}
	theirs, err := modfile.Parse("go.mod", b, nil)
	if err != nil {
		return err
	}
	ours := new(modfile.File)
	err = errors.Join(ours.AddModuleStmt(name), ours.AddGoStmt(theirs.Go.Version),
		ours.AddRequire(modulePath, "v0.0.0"), ours.AddReplace(modulePath, "", checkout, ""))
	if err != nil {
		return err
	}
	for _, r := range theirs.Require {
		ours.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	ours.Cleanup()
	out, err := ours.Format()
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), out, 0o644), os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
}
