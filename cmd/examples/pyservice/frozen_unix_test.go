//go:build unix

package pyservice_test

import (
	"syscall"
	"testing"
)

// TestCallsAvoidAProcessThatStandsStill: once the directory has dropped it, no call goes there, although NATS would send it.
func TestCallsAvoidAProcessThatStandsStill(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	frozen := i.startHangs(t, interpreter, "translate-1")
	i.startHangs(t, interpreter, "translate-2")
	call := func() {
		t.Helper()
		if _, err := i.ask(t, "translate-2", "alice", "call"); err != nil {
			t.Fatal(err)
		}
	}
	call()
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	i.eventually(t, "the directory drops it", func() bool { return !i.directory.Alive("translate", "translate-1") })
	i.eventually(t, "its caller has read that", func() bool { _, err := i.ask(t, "translate-2", "bob", "call"); return err == nil })
	for range 30 {
		call()
	}
}
