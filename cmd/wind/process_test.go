package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the wind binary, so that the tests of this package run real processes that can be
// killed, stopped and continued.
func TestMain(m *testing.M) {
	if name := os.Getenv("WIND_TEST_GAME"); name != "" {
		runBuild(name)
		return
	}
	if os.Getenv("WIND_TEST_BINARY") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds what takes a second or two on an idle machine.
const patience = 60 * time.Second

// process is a running wind.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	stdout []byte
	stderr []string
}

// wind starts a process. The test kills it at its end, if it still runs.
func wind(t *testing.T, args ...string) *process {
	t.Helper()
	return windWith(t, "WIND_TEST_BINARY=1", args...)
}

// windWith is wind with one more variable in its environment.
func windWith(t *testing.T, env string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: args[0], cmd: exec.Command(os.Args[0], args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		var group sync.WaitGroup
		group.Go(func() { p.collect(stderr, func(line string) { p.stderr = append(p.stderr, line) }) })
		group.Go(func() { p.collect(stdout, func(line string) { p.stdout = append(append(p.stdout, line...), '\n') }) })
		group.Wait()
		_ = p.cmd.Wait() // its exit code is what the tests look at
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", strings.Join(args, " "), p.log())
		}
	})
	return p
}

func (p *process) collect(from io.Reader, line func(string)) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		p.mu.Lock()
		line(lines.Text())
		p.mu.Unlock()
	}
}

// names reports whether a text names a command of this test's binary, with the flags of the call that said so.
func names(text, verb, argument string) bool {
	return regexp.MustCompile(regexp.QuoteMeta(os.Args[0]+" "+verb) + ` (--\S+ \S+ )*` + argument).MatchString(text)
}

// output is what came on stdout so far.
func (p *process) output() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.stdout)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.stderr, "\n")
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT) // its stacks tell where it hangs
		<-p.done
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop interrupts the process and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	return p.exit()
}

// result decodes the JSON object on stdout, once the process has ended.
func (p *process) result(v any) {
	p.t.Helper()
	<-p.done
	if err := json.Unmarshal(p.output(), v); err != nil {
		p.t.Fatalf("%s printed no JSON object: %v\n%s\n%s", p.name, err, p.output(), p.log())
	}
}

// says waits for a line on stderr that holds text.
func (p *process) says(text string) {
	p.t.Helper()
	p.until("says "+text, func() bool { return strings.Contains(p.log(), text) })
}

// until waits for a condition while the process lives.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	p.within(patience, what, ok)
}

func (p *process) within(span time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(span); !ok(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.done:
			if ok() {
				return
			}
			p.t.Fatalf("%s ended (%d) before it %s:\n%s", p.name, p.cmd.ProcessState.ExitCode(), what, p.log())
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s never %s:\n%s", p.name, what, p.log())
		}
	}
}

// run runs a verb to its end and decodes its JSON.
func run(t *testing.T, wantExit int, v any, args ...string) *process {
	t.Helper()
	return wind(t, args...).ends(wantExit, v)
}

// ends waits for the end of a verb with an exit code and decodes its JSON.
func (p *process) ends(wantExit int, v any) *process {
	p.t.Helper()
	if code := p.exit(); code != wantExit {
		p.t.Fatalf("%s ends with %d, want %d:\n%s\n%s", strings.Join(p.cmd.Args[1:], " "), code, wantExit, p.output(), p.log())
	}
	if v != nil {
		p.result(v)
	}
	return p
}

// health is what /healthz answers; the zero value when nobody does.
type health struct {
	Phase   string `json:"phase"`
	Epoch   uint64 `json:"epoch"`
	Tick    uint64 `json:"tick"`
	Clients int    `json:"clients"`
	Healthy bool   `json:"healthy"`

	Conditions []condition `json:"conditions"`
}

type condition struct {
	Kind, Text string
	Since      time.Time
	Stops      bool
}

// has reports whether a condition of a kind holds.
func (h health) has(kind string) bool {
	return slices.ContainsFunc(h.Conditions, func(c condition) bool { return c.Kind == kind })
}

func healthOf(addr string) (h health) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://" + addr + "/healthz")
	if err != nil {
		return health{}
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&h) != nil {
		return health{}
	}
	return h
}

// owns waits until the node at the HTTP address runs its shard and has reached a tick.
func (p *process) owns(httpAddr string, tick uint64) (h health) {
	p.t.Helper()
	p.until(fmt.Sprintf("owns its shard at tick %d", tick), func() bool {
		h = healthOf(httpAddr)
		return h.Phase == "own" && h.Tick >= tick
	})
	return h
}
