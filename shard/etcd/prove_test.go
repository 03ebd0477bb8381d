package etcd_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	for range 2 { // a used store is still sound
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

// TestAFlippedBitOfALengthIsRefused flips bits in the length fields of the write-ahead log of a used store. Formerly
// the server truncated its log there and ignored requests from then on, and neither a deadline nor Ctrl-C ended its
// start.
func TestAFlippedBitOfALengthIsRefused(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "etcd")
	s, err := etcd.StartServer(t.Context(), etcd.ServerConfig{Dir: sound, Development: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := etcd.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := c.Put(t.Context(), "/wind/k", strings.Repeat("v", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(sound, "member-wind", "member", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files of a write-ahead log: %v", len(files), err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var frames []int // offset of each frame, which begins with its length in 8 bytes
	for at := 0; ; {
		word := binary.LittleEndian.Uint64(b[at:])
		if word == 0 {
			break
		}
		frames = append(frames, at)
		at += 8 + int(word&(1<<56-1)) + int(word>>56&7)
	}
	for bit := 0; bit < 56; bit += 3 { // the other bits are the length of the padding, and harmless if wrong
		frame := frames[len(frames)*(bit+1)/70]
		t.Run(fmt.Sprintf("bit %d of frame at %d", bit, frame), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "etcd")
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "member-wind", "member", "wal", filepath.Base(files[0]))
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{b[frame+bit/8] ^ 1<<(bit%8)}, int64(frame+bit/8)); err != nil {
				t.Fatal(err)
			}
			f.Close()
			ended := make(chan error, 1)
			go func() {
				s, err := etcd.StartServer(t.Context(), etcd.ServerConfig{Dir: dir, Development: true})
				if err == nil {
					err = errors.Join(errors.New("it starts"), s.Close())
				}
				ended <- err
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, etcd.ErrCorrupt) {
					t.Errorf("a start says: %v", err)
				}
			case <-time.After(40 * time.Second):
				t.Fatal("the start does not end")
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
