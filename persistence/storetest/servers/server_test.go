package servers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// need finds a program, in the PATH or by a pattern, or skips or fails the test.
func need(t *testing.T, program, pattern, pkg string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1]
	}
	if os.Getenv("WIND_STORES") == "must" {
		t.Fatalf("%s is not installed, and WIND_STORES=must: apt-get install %s", program, pkg)
	}
	t.Skipf("%s is not installed: apt-get install %s", program, pkg)
	return ""
}

// folder returns a temporary directory for a server and the user to run it as: neither server should run as root.
func folder(t *testing.T) (dir string, as *syscall.SysProcAttr) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wind-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return dir, as
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return dir, as
}

// freePort returns a port that nothing listens on at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs a server until the test ends. It returns once up reports that the server answers.
func start(t *testing.T, stop syscall.Signal, dir string, as *syscall.SysProcAttr, up func() error, program string, args ...string) {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, args...)
	c.Dir, c.SysProcAttr, c.Stdout, c.Stderr = dir, as, out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Wait(); out.Close() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(stop)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = c.Process.Kill()
			<-ended
		}
	})
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := up()
		if err == nil {
			return
		}
		gone := false
		select {
		case <-ended:
			gone = true
		default:
		}
		if gone || time.Now().After(until) {
			said, _ := os.ReadFile(out.Name())
			t.Fatalf("%s does not answer: %v\n%s", program, err, said)
		}
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
