package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// boundedProcess is a wind that may take damagedTime and damagedMemory.
type boundedProcess struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	broke  string // which bound it broke
	err    error
}

// bounded runs a verb to its end, or to that of its time or memory.
// With until it is interrupted as soon as that holds.
func bounded(until func() bool, args ...string) *boundedProcess {
	p := &boundedProcess{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), "WIND_TEST_BINARY=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if p.err = p.cmd.Start(); p.err != nil {
		p.broke = p.err.Error()
		return p
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.err = p.cmd.Wait()
	}()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	late := time.NewTimer(damagedTime)
	defer late.Stop()
	for {
		select {
		case <-done:
			if peak := peakMemory(p.cmd.ProcessState); p.broke == "" && peak > damagedMemory {
				p.broke = fmt.Sprintf("it took %d MiB", peak>>20)
			}
			return p
		case <-look.C:
			if until != nil && until() {
				until = nil
				_ = p.cmd.Process.Signal(syscall.SIGINT)
			}
			if now := memoryNow(p.cmd.Process.Pid); now > damagedMemory && p.broke == "" {
				p.broke = fmt.Sprintf("it takes %d MiB", now>>20)
				_ = p.cmd.Process.Kill()
			}
		case <-late.C:
			p.broke = fmt.Sprintf("it does not end within %v", damagedTime)
			_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its stacks tell where it hangs
			time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
		}
	}
}

func (p *boundedProcess) exit() int      { return p.cmd.ProcessState.ExitCode() }
func (p *boundedProcess) output() []byte { return p.stdout.Bytes() }
func (p *boundedProcess) log() string    { return p.stderr.String() }

// memoryNow is the resident set of a process, in bytes; 0 where the system does not say.
func memoryNow(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
