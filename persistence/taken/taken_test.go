package taken

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestATakenPortIsToldOnThisSystem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = net.Listen("tcp", l.Addr().String())
	if !Port(err) || !Said(err.Error()) {
		t.Errorf("%v is not recognised", err)
	}
	if _, err = net.Listen("tcp", "192.0.2.1:1"); err == nil || Port(err) || Said(err.Error()) {
		t.Errorf("an address of another machine: %v", err)
	}
}

// TestATakenPortIsToldOnWindows: listening fails there with 10048, which is not Go's EADDRINUSE, and with this text.
func TestATakenPortIsToldOnWindows(t *testing.T) {
	err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.Errno(10048))}
	if !port(fmt.Errorf("wrapped: %w", err), "windows") {
		t.Error("10048 is not recognised")
	}
	if port(err, "linux") {
		t.Error("10048 is recognised on Linux, where it means nothing")
	}
	if !Said("listen tcp 127.0.0.1:4222: bind: Only one usage of each socket address (protocol/network address/port) is normally permitted.") {
		t.Error("the text is not recognised")
	}
}
