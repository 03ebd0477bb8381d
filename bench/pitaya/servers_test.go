package main

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/bench"
)

func TestAServerThatEndsEndsTheRunAndStopLeavesNone(t *testing.T) {
	ctx, fail := context.WithCancelCause(context.Background())
	s := &servers{core: -1, fail: fail}
	found, lasting, err := s.start(ctx, "lasting", regexp.MustCompile(`^on (\S+)`), nil, "sh", "-c", "echo on 7; exec sleep 600")
	if err != nil || found != "7" {
		t.Fatal(found, err)
	}
	_, _, err = s.start(ctx, "short", regexp.MustCompile(`^(on)`), nil, "sh", "-c", "echo address in use; exit 3")
	if err == nil || !strings.Contains(err.Error(), "short ended (exit status 3):\naddress in use") {
		t.Errorf("%v, want who ended and what it said", err)
	}
	if ctx.Err() == nil {
		t.Error("the run goes on")
	}
	if syscall.Kill(lasting, 0) != nil {
		t.Error("the other server ended before stop")
	}
	s.stop()
	if err := syscall.Kill(lasting, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after stop: %v", lasting, err)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := reserve(port); err == nil || !strings.Contains(err.Error(), "--pitaya-port "+strconv.Itoa(port)) || !strings.Contains(err.Error(), "name another port") {
		t.Error(err)
	}
	if addr, err := reserve(0); err != nil || strings.HasSuffix(addr, ":0") {
		t.Errorf("%s, %v", addr, err)
	}
}

// TestAFrontendThatIsNeverReadyEndsTheWait asks a server that refuses every request, a port that nobody listens on, and one that serves.
func TestAFrontendThatIsNeverReadyEndsTheWait(t *testing.T) {
	probe := func() bench.Wire { return &pitayaWire{route: route, body: make([]byte, 64)} }
	refuse := listen(t, func(c net.Conn) { serve(c, typeResponse|flagError) })
	free, err := reserve(0)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{refuse: "x00", free: "refused"} {
		if err := await(context.Background(), addr, time.Millisecond, probe); err == nil || !strings.Contains(err.Error(), "no request was answered within 1ms") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	why := errors.New("why")
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := await(ended, refuse, time.Minute, probe); !errors.Is(err, why) {
		t.Errorf("%v, want the reason for the end", err)
	}
	if err := await(context.Background(), listen(t, func(c net.Conn) { serve(c, typeResponse) }), time.Minute, probe); err != nil {
		t.Error(err)
	}
}
