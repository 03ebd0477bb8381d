package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	_ "embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// serverSource is the program of Pitaya's servers, a template of Go source. It is no Go file so that this module does
// not depend on Pitaya.
//
//go:embed server/main.go.tmpl
var serverSource string

// build is Pitaya's server, built from a commit.
type build struct {
	Module   string    `json:"module"`   // Pitaya's path
	Commit   string    `json:"commit"`   // of Pitaya
	Go       string    `json:"go"`       // version that compiled it
	GOGC     string    `json:"gogc"`     // of both servers
	Settings []setting `json:"settings"` // of both servers; all others are Pitaya's defaults

	program string // path
}

// setting is one of Pitaya's settings, by its name in Pitaya's configuration.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// buildPitaya checks the commit out into dir, writes the server's source beside it, and compiles it.
func buildPitaya(ctx context.Context, o options, dir string) (*build, error) {
	b := &build{Commit: o.commit, GOGC: gogc(), Settings: o.settings(), program: filepath.Join(dir, "server", "server")}
	source := filepath.Join(dir, "pitaya")
	fmt.Fprintf(os.Stderr, "fetching commit %s of Pitaya\n", o.commit)
	if err := checkout(ctx, o.source, o.commit, source); err != nil {
		return nil, err
	}
	var goVersion string
	var err error
	if b.Module, goVersion, err = readModule(filepath.Join(source, "go.mod")); err != nil {
		return nil, fmt.Errorf("commit %s %w", o.commit, err)
	}
	if err := b.write(filepath.Dir(b.program), source, goVersion); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "building its server")
	argv := []string{"go", "build", "-mod=mod", "-buildvcs=false", "-o", b.program, "."}
	if o.serverCore >= 0 && o.loadCore >= 0 && os.Getenv(pinnedVar) != "" { // the compiler may use both cores
		argv = append([]string{"taskset", "-c", fmt.Sprintf("%d,%d", o.serverCore, o.loadCore)}, argv...)
	}
	if _, err := tool(ctx, filepath.Dir(b.program), []string{"GOWORK=off", "GOTMPDIR=" + dir}, argv...); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("build Pitaya's server: %w", err)
		}
		return nil, fmt.Errorf("build Pitaya's server from commit %s: %w\nthe Go proxy (go env GOPROXY) must have the modules that Pitaya's go.mod requires; if it has them, name another commit: the server is written for Pitaya 3", o.commit, err)
	}
	info, err := buildinfo.ReadFile(b.program)
	if err != nil {
		return nil, err
	}
	b.Go = info.GoVersion
	return b, nil
}

// checkout puts exactly this commit of a git repository into dir. It does not write to the repository.
func checkout(ctx context.Context, source, commit, dir string) error {
	if info, err := os.Stat(source); err == nil && info.IsDir() {
		if source, err = filepath.Abs(source); err != nil {
			return err
		}
	}
	git := func(args ...string) (string, error) {
		return tool(ctx, dir, []string{"GIT_TERMINAL_PROMPT=0"}, append([]string{"git"}, args...)...)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := git("init", "--quiet", "--template=", "."); err != nil {
		return err
	}
	if _, err := git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", source, commit); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("fetch commit %s: %w", commit, err)
		}
		return fmt.Errorf("fetch commit %s from %s: %w\nname a clone of Pitaya that has this commit (git -C DIR cat-file -t %s), or a URL whose server gives out single commits", commit, source, err, commit)
	}
	if _, err := git("checkout", "--quiet", "--detach", "FETCH_HEAD"); err != nil {
		return fmt.Errorf("check out commit %s: %w\nif objects are missing, name a complete clone of Pitaya", commit, err)
	}
	head, err := git("rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if head = strings.TrimSpace(head); head != commit {
		return fmt.Errorf("%s names commit %s: give that one", commit, head)
	}
	return nil
}

var (
	gitRepository = regexp.MustCompile(`^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY)=`)
	moduleLine    = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	goLine        = regexp.MustCompile(`(?m)^go\s+(\S+)`)
)

// readModule returns the path and the Go version that Pitaya's go.mod names. The path must be that of Pitaya 3.
func readModule(file string) (path, version string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("is not Pitaya: %w", err)
	}
	m, g := moduleLine.FindSubmatch(b), goLine.FindSubmatch(b)
	if m == nil || g == nil {
		return "", "", fmt.Errorf("is not Pitaya: its go.mod names no module or no version of Go")
	}
	if path = string(m[1]); !strings.HasSuffix(path, "/pitaya/v3") {
		return "", "", fmt.Errorf("holds module %s: the server is written for Pitaya 3, name a commit of module …/pitaya/v3", path)
	}
	return path, string(g[1]), nil
}

// write writes the server's module: its source, its go.mod with the checkout in place of Pitaya, and Pitaya's go.sum.
// Its dependencies are thus those that Pitaya's go.mod names.
func (b *build) write(dir, source, goVersion string) error {
	text, err := b.generate()
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mod := fmt.Sprintf("module pitayaserver\n\ngo %s\n\nrequire %s v3.0.0\n\nreplace %s => %s\n", goVersion, b.Module, b.Module, "../"+filepath.Base(source))
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "main.go"), text, 0o600),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600),
		os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600),
	)
}

// generate returns the server's source.
func (b *build) generate() ([]byte, error) {
	t, err := template.New("main.go").Parse(serverSource)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, b); err != nil {
		return nil, err
	}
	return format.Source(out.Bytes())
}

// settings returns Pitaya's settings in the order of their names. Its buffers hold all requests under way and a quarter more,
// because its NATS subscription drops what exceeds them.
func (o options) settings() []setting {
	buffer := fmt.Sprint(max(2000, o.connections*slices.Max(o.depths)*5/4))
	all := map[string]string{
		"pitaya.handler.messages.compression":            "false",
		"pitaya.buffer.agent.messages":                   buffer,
		"pitaya.buffer.handler.remoteprocess":            buffer,
		"pitaya.cluster.rpc.server.nats.buffer.messages": buffer,
		"pitaya.cluster.rpc.server.nats.services":        "30",
		"pitaya.concurrency.handler.dispatch":            "25",
		"pitaya.metrics.statsd.enabled":                  "false",
		"pitaya.metrics.prometheus.enabled":              "false",
	}
	for _, s := range o.set {
		all[s.Key] = s.Value
	}
	list := make([]setting, 0, len(all))
	for key, value := range all {
		list = append(list, setting{key, value})
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// gogc returns the GOGC of Wind's gateway and service, which Pitaya's servers get too.
func gogc() string {
	if v := os.Getenv("GOGC"); v != "" {
		return v
	}
	return "400" // cmd's own default for a gateway and a service
}

// tool runs a program in dir and returns its output. When ctx ends, it interrupts the program and all that this started.
func tool(ctx context.Context, dir string, env []string, argv ...string) (string, error) {
	if _, err := exec.LookPath(argv[0]); err != nil {
		return "", fmt.Errorf("%w: install it, or put it on PATH", err)
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = dir
	// Without the variables of a git command that runs this program, as a hook does.
	c.Env = append(slices.DeleteFunc(os.Environ(), gitRepository.MatchString), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGINT) }
	c.WaitDelay = 10 * time.Second
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	if ctx.Err() != nil {
		if c.Process != nil {
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // whoever ignored the interrupt
		}
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv[:min(len(argv), 2)], " "), err, tail(said.Bytes()))
	}
	return out.String(), nil
}

// tail returns the end of a program's output.
func tail(b []byte) string { return strings.TrimSpace(string(b[max(0, len(b)-2000):])) }
