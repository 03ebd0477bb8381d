package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctorAgreesWithTheStartAboutADisk that is full, and one that is read-only, before and after a node has run on it.
func TestDoctorAgreesWithTheStartAboutADisk(t *testing.T) {
	d := smallDisk(t)
	agree := func(what, data, says string) {
		t.Helper()
		at := []string{"--data", filepath.Join(d.dir, data), "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""}
		doctor := string(run(t, 1, nil, append([]string{"doctor"}, at...)...).output())
		start := run(t, 1, nil, append([]string{"serve", "--for", "1s"}, at...)...).log()
		if !strings.Contains(doctor, says) || !strings.Contains(start, says) {
			t.Errorf("%s: want %q from both\nstart: %s\ndoctor: %s", what, says, start, doctor)
		}
	}
	used := filepath.Join(d.dir, "used")
	run(t, 0, nil, devArgs(used, "1s")...)
	d.fill()
	agree("a full disk", "new/data", "the disk is full")
	agree("a full disk with a store", "used", "the disk is full")
	d.free()
	run(t, 0, nil, "doctor", "--data", used, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "")
	if out, err := exec.Command("mount", "-o", "remount,ro", d.dir).CombinedOutput(); err != nil {
		t.Skipf("the file system cannot be made read-only here: %v: %s", err, out)
	}
	agree("a read-only disk", "new/data", "make its file system writable, or name another directory with --data")
	agree("a read-only disk with a store", "used", "make its file system writable, or name another directory with --data")
}
