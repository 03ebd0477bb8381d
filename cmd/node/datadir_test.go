package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDataDirectoryIsForOneProcessAtATime(t *testing.T) {
	t.Parallel() // mostly waits
	dir := filepath.Join(t.TempDir(), "data")
	first, err := OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenData(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second one gets: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenData(dir)
	if err != nil {
		t.Fatalf("after the first is closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirectoryOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.png"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenData(dir); err == nil || !strings.Contains(err.Error(), "photo.png") {
		t.Errorf("it is opened, or not named: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "LOCK")); err == nil {
		t.Error("something was written into it")
	}
	if _, err := OpenData(filepath.Join(dir, "photo.png")); err == nil {
		t.Error("a file is opened as a directory")
	}
}

func TestPasswordOfTheNodesStaysTheSame(t *testing.T) {
	dir := t.TempDir()
	first, err := nodePassword(dir)
	if err != nil || len(first) < 20 {
		t.Fatalf("password %q, %v", first, err)
	}
	again, err := nodePassword(dir)
	if err != nil || again != first {
		t.Errorf("it was %q and is %q, %v", first, again, err)
	}
	other, err := nodePassword(t.TempDir())
	if err != nil || other == first {
		t.Errorf("two directories share a password, %v", err)
	}
}
