package etcd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ferris1/wind/shard/etcd"
)

func TestDamagedStoreIsRefusedInOneSentence(t *testing.T) {
	start := func(dir string) error {
		s, err := etcd.StartServer(context.Background(), etcd.ServerConfig{Dir: dir, Development: true})
		if err != nil {
			return err
		}
		return s.Close()
	}
	sound := filepath.Join(t.TempDir(), "etcd")
	for range 2 { // a store that was used is still sound
		if err := start(sound); err != nil {
			t.Fatal(err)
		}
	}
	wals, err := filepath.Glob(filepath.Join(sound, "member-wind", "member", "wal", "*.wal"))
	if err != nil || len(wals) == 0 {
		t.Fatalf("the store has no write-ahead log: %v", err)
	}
	db, wal := filepath.Join("member-wind", "member", "snap", "db"), filepath.Join("member-wind", "member", "wal", filepath.Base(wals[0]))
	for name, damage := range map[string]func(dir string) error{
		"db cut":         func(dir string) error { return os.Truncate(filepath.Join(dir, db), 6000) },
		"db emptied":     func(dir string) error { return os.Truncate(filepath.Join(dir, db), 0) },
		"db overwritten": func(dir string) error { return overwrite(filepath.Join(dir, db), 0, 12<<10) },
		"wal emptied":    func(dir string) error { return os.Truncate(filepath.Join(dir, wal), 0) },
		"wal altered":    func(dir string) error { return overwrite(filepath.Join(dir, wal), 40, 8) },
		"wal removed":    func(dir string) error { return os.Remove(filepath.Join(dir, wal)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etcd")
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if err := start(dir); !errors.Is(err, etcd.ErrCorrupt) {
				t.Fatalf("it starts with: %v", err)
			}
			if err := os.RemoveAll(filepath.Join(dir, "member-wind")); err != nil { // as the error says
				t.Fatal(err)
			}
			if err := start(dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// overwrite puts n bytes of 0xA5 into a file.
func overwrite(path string, at int64, n int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xA5
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}
