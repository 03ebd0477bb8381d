package etcd_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/shard/etcd"
)

var (
	seedFlag  = flag.Uint64("flipseed", 0, "seed of random flips; 0 takes one from the clock")
	flipsFlag = flag.Int("flips", 8, "how many random bits of a store to flip, one in each start")
)

// TestAnyFlippedBitIsHarmlessOrRefused flips random bits in the used parts of a member's files.
func TestAnyFlippedBitIsHarmlessOrRefused(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	sound := usedStore(t)
	files := memberFiles(t, sound)
	for i := range *flipsFlag {
		file := files[i%len(files)]
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := len(b)
		for used > 0 && b[used-1] == 0 {
			used--
		}
		bit := rnd.IntN(max(used, 1) * 8)
		rel, _ := filepath.Rel(sound, file)
		t.Run(fmt.Sprintf("%s byte %d bit %d", filepath.Base(file), bit/8, bit%8), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etcd")
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			flipped := append([]byte(nil), b...)
			flipped[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(filepath.Join(dir, rel), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			startWithin(t, dir, 40*time.Second)
		})
	}
}

// TestAnyCutFileIsHarmlessOrRefused cuts, zeroes and removes the files of a member.
func TestAnyCutFileIsHarmlessOrRefused(t *testing.T) {
	rnd := rand.New(rand.NewPCG(*seedFlag, 2))
	sound := usedStore(t)
	for _, file := range memberFiles(t, sound) {
		rel, _ := filepath.Rel(sound, file)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		damages := map[string]func(path string) error{
			"removed": os.Remove,
			"zeroed":  func(path string) error { return errors.Join(os.Truncate(path, 0), os.Truncate(path, info.Size())) },
			"emptied": func(path string) error { return os.Truncate(path, 0) },
		}
		for range 3 {
			size := rnd.Int64N(min(info.Size(), 64<<10))
			damages[fmt.Sprint("cut at ", size)] = func(path string) error { return os.Truncate(path, size) }
		}
		for name, damage := range damages {
			t.Run(filepath.Base(file)+" "+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "etcd")
				if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
					t.Fatal(err)
				}
				if err := damage(filepath.Join(dir, rel)); err != nil {
					t.Fatal(err)
				}
				startWithin(t, dir, 40*time.Second)
			})
		}
	}
}

func memberFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "member-wind") && !strings.HasSuffix(path, ".tmp") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// usedStore returns the directory of a stopped server.
func usedStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etcd")
	s, err := etcd.StartServer(t.Context(), etcd.ServerConfig{Dir: dir, Development: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := etcd.Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if _, err := c.Put(t.Context(), fmt.Sprint("/wind/k", i%7), strings.Repeat("v", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startWithin starts a server, which must answer or refuse the store as damaged in time.
func startWithin(t *testing.T, dir string, limit time.Duration) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		s, err := etcd.StartServer(context.Background(), etcd.ServerConfig{Dir: dir, Development: true})
		if err == nil {
			var c *etcd.Client
			if c, err = etcd.Dial(context.Background(), s.Addr()); err == nil {
				_, err = c.Put(context.Background(), "/wind/after", "x")
				err = errors.Join(err, c.Close())
			}
			err = errors.Join(err, s.Close())
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, etcd.ErrCorrupt) {
			t.Errorf("a start says: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("the start does not end")
	}
}
