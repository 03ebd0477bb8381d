//go:build unix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limitFiles bounds the size of the files that this process writes: a write beyond it fails, as on a full disk.
func limitFiles(bytes uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = bytes
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

func init() {
	children["start on a full disk"] = func(dir string) error {
		if err := limitFiles(1 << 20); err != nil {
			return err
		}
		_, err := StartServer(context.Background(), ServerConfig{Dir: dir, Development: true})
		return err
	}
	children["disk fills"] = func(dir string) error {
		s, err := StartServer(context.Background(), ServerConfig{Dir: dir, Development: true})
		if err != nil {
			return err
		}
		c, err := Dial(context.Background(), s.Addr())
		if err != nil {
			return err
		}
		if err := limitFiles(1 << 20); err != nil {
			return err
		}
		for i := 0; err == nil; i++ {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err = c.Put(ctx, fmt.Sprint("/wind/", i), strings.Repeat("v", 100<<10))
			cancel()
		}
		select {
		case <-s.Dead():
		case <-time.After(20 * time.Second):
			return errors.New("the server says nothing")
		}
		begun := time.Now()
		if err := errors.Join(c.Close(), s.Close()); err != nil || time.Since(begun) > closeTimeout {
			return fmt.Errorf("a close after %v: %w", time.Since(begun), err)
		}
		return s.Err()
	}
}

// TestAFullDiskIsOneSentence fills the disk below a server while it starts and while it runs. Formerly the process
// ended with a panic of the server, or with exit code 1 and no message.
func TestAFullDiskIsOneSentence(t *testing.T) {
	for name, want := range map[string]string{
		"start on a full disk": "etcd: cannot start on ",
		"disk fills":           " has given up: ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "WIND_TEST_CHILD="+name, "WIND_TEST_DIR="+t.TempDir())
			out, err := c.CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "file too large") || strings.Count(string(out), "\n") > 1 {
				t.Errorf("it ends with %v and says:\n%s", err, out)
			}
		})
	}
}
