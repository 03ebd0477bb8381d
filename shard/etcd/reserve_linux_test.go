package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// smallDisk mounts a file system of mib MiB and returns its path. It skips the test if this process may not mount one.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here (it takes Linux and root): %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fill uses up all free space and returns the path of the file that takes it.
func fill(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// TestAFullDiskDoesNotEndEtcd writes 4 MiB while the disk is full. Without the reserve, etcd ends its process, here the
// test's, within the first few hundred writes.
func TestAFullDiskDoesNotEndEtcd(t *testing.T) {
	dir := smallDisk(t, 128)
	s, err := StartServer(t.Context(), ServerConfig{Dir: filepath.Join(dir, "etcd"), Development: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	db := database(filepath.Join(dir, "etcd"))
	for end := time.Now().Add(20 * time.Second); allocated(t, db) < reserveBytes; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the database gets no reserve")
		}
	}
	client, err := Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	filled := fill(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	value := string(make([]byte, 1<<10))
	for i := range 4000 {
		if _, err := client.Put(ctx, fmt.Sprintf("key-%d", i%100), value); err != nil {
			t.Fatalf("put %d on a full disk: %v", i, err)
		}
	}
	if err := os.Remove(filled); err != nil {
		t.Fatal(err)
	}
	if r, err := client.Get(ctx, "key-", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || r.Count != 100 {
		t.Fatalf("%v keys are left, error %v", r, err)
	}
}

// allocated returns how many bytes of the disk a file occupies.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Blocks * 512
}
