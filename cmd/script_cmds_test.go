package cmd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits CODE VERB ARGS… runs wind and requires this exit code; the script can match stdout and stderr afterwards.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitOf(ts, args[1:]); got != want {
		ts.Fatalf("wind %s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// eventually CODE VERB ARGS… runs wind repeatedly, for a minute at most, until it ends with this exit code.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: eventually CODE ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := -1
	for end := time.Now().Add(time.Minute); got != want; time.Sleep(100 * time.Millisecond) {
		if got = exitOf(ts, args[1:]); got != want && time.Now().After(end) {
			ts.Fatalf("wind %s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
		}
	}
}

// exitOf runs wind and returns its exit code.
func exitOf(ts *testscript.TestScript, args []string) int {
	err := ts.Exec("wind", args...)
	exit, ok := err.(*exec.ExitError)
	switch {
	case ok:
		return exit.ExitCode()
	case err != nil:
		ts.Fatalf("wind does not run: %v", err)
	}
	return 0
}

// flip FILE FRACTION flips one bit of the byte at that fraction of a file's length.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE FRACTION")
	}
	at, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	b[int(float64(len(b))*at)] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}

// occupy udp|tcp VAR opens a port for as long as the script runs, and puts its address into a variable.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: occupy udp|tcp VAR")
	}
	switch args[0] {
	case "udp":
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { c.Close() })
		ts.Setenv(args[1], c.LocalAddr().String())
	case "tcp":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		ts.Setenv(args[1], l.Addr().String())
	default:
		ts.Fatalf("occupy: %q is neither udp nor tcp", args[0])
	}
}

// jsonhas KEY [OP VALUE] requires stdout to be one JSON object with KEY. OP is ==, >= or >; VALUE is a number, a word or
// the name of another key.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 3 {
		ts.Fatalf("usage: jsonhas KEY [OP VALUE]")
	}
	var object map[string]any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	if err := d.Decode(&object); err != nil || d.More() {
		ts.Fatalf("stdout is not one JSON object: %v", err)
	}
	got, ok := object[args[0]]
	if !ok {
		ts.Fatalf("the result has no %q", args[0])
	}
	if len(args) == 1 {
		return
	}
	want := args[2]
	if other, ok := object[want]; ok {
		want = fmt.Sprint(other)
	}
	if !holds(got, args[1], want) {
		ts.Fatalf("%s is %v, want %s %s", args[0], got, args[1], want)
	}
}

func holds(got any, op, want string) bool {
	if op == "==" {
		return fmt.Sprint(got) == want
	}
	g, ok := got.(float64)
	w, err := strconv.ParseFloat(want, 64)
	return ok && err == nil && (op == ">" && g > w || op == ">=" && g >= w)
}

// waitfile PATH waits until a file exists.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile PATH")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s never appears", args[0])
}

// cut FILE FRACTION cuts a file.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE FRACTION")
	}
	at, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b[:int(float64(len(b))*at)], 0o600))
}

// pick PATTERN FILE waits, for a minute at most, until one file matches, and copies it.
func pick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pick PATTERN FILE")
	}
	var found []string
	for end := time.Now().Add(time.Minute); len(found) != 1 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var err error
		found, err = filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
	}
	if len(found) != 1 {
		ts.Fatalf("%s matches %v", args[0], found)
	}
	b, err := os.ReadFile(found[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}
