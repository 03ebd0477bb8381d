package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
	"time"
)

// startTimeout bounds the start of a server.
const startTimeout = 30 * time.Second

// servers are Wind's processes: NATS and etcd, a service, a gateway.
type servers struct {
	addr   string // of the gateway
	pids   []int
	cancel context.CancelFunc
	group  sync.WaitGroup
	dir    string

	mu   sync.Mutex
	said bytes.Buffer // their output, shown on failure
}

// startServers starts all servers on a core and waits until the gateway listens.
func startServers(ctx context.Context, core int) (s *servers, err error) {
	ctx, cancel := context.WithCancel(ctx)
	s = &servers{cancel: cancel}
	defer func() {
		if err != nil {
			s.stop()
			err = fmt.Errorf("%w\n%s", err, s.tail())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "wind-bench-"); err != nil {
		return s, err
	}
	line, err := s.start(ctx, core, regexp.MustCompile(`(\{.*"nats".*\})`), "infra", "--data", s.dir, "--json")
	if err != nil {
		return s, err
	}
	var infra struct{ NATS, Etcd string }
	if err := json.Unmarshal([]byte(line), &infra); err != nil {
		return s, fmt.Errorf("infra said %q: %w", line, err)
	}
	to := []string{"--nats", infra.NATS, "--etcd", infra.Etcd}
	if _, err = s.start(ctx, core, regexp.MustCompile(`^service (echo)`), append([]string{"service", "echo", "--id", "echo-1"}, to...)...); err != nil {
		return s, err
	}
	s.addr, err = s.start(ctx, core, regexp.MustCompile(`^\s+TCP\s+(\S+)`), append([]string{"gateway", "--id", "gate-1", "--tcp", "127.0.0.1:0"}, to...)...)
	return s, err
}

// start starts a server, waits for its output to match ready, and returns the first submatch.
func (s *servers) start(ctx context.Context, core int, ready *regexp.Regexp, args ...string) (string, error) {
	c, err := onCore(ctx, core, args...)
	if err != nil {
		return "", err
	}
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		return "", err
	}
	s.pids = append(s.pids, c.Process.Pid)
	s.group.Go(func() { w.CloseWithError(errors.Join(c.Wait(), io.EOF)) })
	found := make(chan string, 1)
	s.group.Go(func() { s.follow(r, ready, found) })
	select {
	case part, ok := <-found:
		if !ok {
			return "", fmt.Errorf("%s ended before it was ready", args[0])
		}
		return part, nil
	case <-time.After(startTimeout):
		return "", fmt.Errorf("%s is not ready after %s", args[0], startTimeout)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// follow records a process's output, sends the first match of ready to found, and closes found when the output ends.
func (s *servers) follow(r io.Reader, ready *regexp.Regexp, found chan<- string) {
	defer close(found)
	sent := false
	for in := bufio.NewScanner(r); in.Scan(); {
		s.mu.Lock()
		if s.said.Len() < 1<<20 {
			s.said.Write(append(in.Bytes(), '\n'))
		}
		s.mu.Unlock()
		if m := ready.FindStringSubmatch(in.Text()); m != nil && !sent {
			found <- m[1]
			sent = true
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// tail returns the end of the servers' output.
func (s *servers) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.said.Bytes()
	return string(b[max(0, len(b)-2000):])
}

// stop ends the servers and removes their store.
func (s *servers) stop() {
	s.cancel()
	s.group.Wait()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
