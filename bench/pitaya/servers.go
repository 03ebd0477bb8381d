package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ferris1/wind/bench"
)

const (
	startTimeout = 30 * time.Second // bounds the start of a server
	stopTimeout  = 10 * time.Second // from the interrupt of a server to its kill
	retryPause   = 100 * time.Millisecond
)

// servers are the processes that this program started, all on one core.
type servers struct {
	core int
	fail context.CancelCauseFunc // gets the reason when a server ends before stop
	dir  string                  // of NATS and etcd

	nats, etcd string // URLs
	infra      int    // process id of NATS and etcd
	all        []*server

	wind, pitaya measured
}

// measured is what the load generator talks to.
type measured struct {
	addr string
	pids []int // all processes on the way of a request
}

// server is one running process.
type server struct {
	name  string
	pid   int
	end   context.CancelFunc
	ended chan struct{} // closed once the process has ended and its output is read

	mu       sync.Mutex
	stopping bool
	said     bytes.Buffer // the start of its output, shown on failure
}

// startWind starts NATS and etcd, a service and a gateway, and waits until the gateway listens.
func (s *servers) startWind(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "wind-bench-"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	line, pid, err := s.start(ctx, "wind infra", regexp.MustCompile(`(\{.*"nats".*\})`), nil, self, windRole, "infra", "--data", s.dir, "--json")
	if err != nil {
		return err
	}
	var infra struct{ NATS, Etcd string }
	if err := json.Unmarshal([]byte(line), &infra); err != nil {
		return fmt.Errorf("wind infra said %q: %w", line, err)
	}
	s.nats, s.etcd, s.infra = infra.NATS, infra.Etcd, pid
	_, service, err := s.start(ctx, "wind service", regexp.MustCompile(`^service (echo)`), nil,
		self, windRole, "service", "echo", "--id", "echo-1", "--nats", s.nats, "--etcd", s.etcd)
	if err != nil {
		return err
	}
	addr, gateway, err := s.start(ctx, "wind gateway", regexp.MustCompile(`^\s+TCP\s+(\S+)`), nil,
		self, windRole, "gateway", "--id", "gate-1", "--tcp", "127.0.0.1:0", "--nats", s.nats, "--etcd", s.etcd)
	s.wind = measured{addr, []int{s.infra, service, gateway}}
	return err
}

// startPitaya starts a backend and a frontend server on the same NATS and etcd, and waits until a request is answered.
func (s *servers) startPitaya(ctx context.Context, b *build, port int, probe func() bench.Wire) error {
	addr, err := reserve(port)
	if err != nil {
		return err
	}
	env := []string{"GOGC=" + b.GOGC}
	_, backend, err := s.start(ctx, "Pitaya's backend server", nil, env, b.program, "-nats", s.nats, "-etcd", s.etcd)
	if err != nil {
		return err
	}
	_, frontend, err := s.start(ctx, "Pitaya's frontend server", nil, env, b.program, "-listen", addr, "-nats", s.nats, "-etcd", s.etcd)
	if err != nil {
		return err
	}
	s.pitaya = measured{addr, []int{s.infra, backend, frontend}}
	if err := await(ctx, addr, startTimeout, probe); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("both servers of Pitaya run, but %w\n%s", err, s.tails(backend, frontend))
		}
		return err
	}
	return nil
}

// reserve returns a loopback address with the port; 0 chooses a free one.
func reserve(port int) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("--pitaya-port %d: %w: name another port, or 0 for any free one", port, err)
	}
	return l.Addr().String(), l.Close()
}

// await sends a request again and again until the first one is answered without an error.
func await(ctx context.Context, addr string, limit time.Duration, probe func() bench.Wire) error {
	end := time.Now().Add(limit)
	for {
		r, err := bench.Load(ctx, bench.LoadOptions{Addr: addr, Connections: 1, Depth: 1, For: retryPause, Wire: func(int) bench.Wire { return probe() }})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && r.Failed == 0 && r.Requests > 0:
			return nil
		case err == nil:
			err = errors.New(r.Failure)
		}
		if time.Now().After(end) {
			return fmt.Errorf("no request was answered within %s: %w", limit, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// start starts a server on the servers' core. If ready is not nil, it waits for output that matches it and returns the first submatch.
func (s *servers) start(ctx context.Context, name string, ready *regexp.Regexp, env []string, argv ...string) (found string, pid int, err error) {
	if s.core >= 0 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(s.core)}, argv...)
	}
	running, end := context.WithCancel(context.Background()) // stop ends it, in order
	c := exec.CommandContext(running, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), env...)
	// A terminal's interrupt reaches this program alone, which stops its servers; if it is killed, so are they.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = stopTimeout
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		end()
		return "", 0, fmt.Errorf("start %s: %w", name, err)
	}
	one := &server{name: name, pid: c.Process.Pid, end: end, ended: make(chan struct{})}
	s.all = append(s.all, one)
	matched := make(chan string, 1)
	var read sync.WaitGroup
	read.Go(func() { one.follow(r, ready, matched) })
	go func() {
		_ = c.Wait() // its ProcessState says as much
		_ = w.Close()
		read.Wait()
		one.mu.Lock()
		defer one.mu.Unlock()
		if !one.stopping {
			s.fail(fmt.Errorf("%s ended (%s):\n%s", name, c.ProcessState, tail(one.said.Bytes())))
		}
		close(one.ended)
	}()
	if ready == nil {
		return "", one.pid, nil
	}
	select {
	case found = <-matched:
		return found, one.pid, nil
	case <-time.After(startTimeout):
		return "", 0, fmt.Errorf("%s is not ready after %s:\n%s", name, startTimeout, one.tail())
	case <-ctx.Done():
		return "", 0, context.Cause(ctx)
	}
}

// follow records the process's output and sends the first match of ready.
func (o *server) follow(r io.Reader, ready *regexp.Regexp, matched chan<- string) {
	for in := bufio.NewScanner(r); in.Scan(); {
		o.mu.Lock()
		if o.said.Len() < 1<<20 {
			o.said.Write(append(in.Bytes(), '\n'))
		}
		o.mu.Unlock()
		if ready == nil {
			continue
		}
		if m := ready.FindStringSubmatch(in.Text()); m != nil {
			matched <- m[1]
			ready = nil
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// tail returns the end of the recorded output.
func (o *server) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return tail(o.said.Bytes())
}

// tails returns the ends of the outputs of the processes.
func (s *servers) tails(pids ...int) string {
	var all []string
	for _, one := range s.all {
		if slices.Contains(pids, one.pid) {
			all = append(all, one.name+" said:\n"+one.tail())
		}
	}
	return strings.Join(all, "\n")
}

// stop ends the servers, the last one first, waits for each, and removes their store.
func (s *servers) stop() {
	for _, one := range slices.Backward(s.all) {
		one.mu.Lock()
		one.stopping = true
		one.mu.Unlock()
		one.end()
		<-one.ended
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
