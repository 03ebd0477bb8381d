package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Content is an alias of what persistence.Content is.
type Content = interface {
	io.ReaderAt
	io.Closer
}

// Archives has the methods of persistence.Archives.
type Archives interface {
	Create(ctx context.Context, name string, write func(io.Writer) error) error
	Open(ctx context.Context, name string) (c Content, sizeBytes int64, err error)
	List(ctx context.Context, prefix string) ([]string, error)
	Remove(ctx context.Context, name string) error
	Place(name string) string
}

// RunArchives tests an implementation of persistence.Archives, which may contain other files.
func RunArchives(t *testing.T, a Archives) {
	for _, c := range []struct {
		name string
		test func(k *shelf)
	}{
		{"what is created is read, in any order", ranges},
		{"many parts make one file", parts},
		{"a writer that fails leaves nothing", failing},
		{"a canceled writer leaves nothing", canceling},
		{"files are listed by prefix", listed},
		{"a removed file is gone", removing},
		{"writers and readers at once", crowd},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c.test(&shelf{T: t, ctx: ctx, a: a, dir: fmt.Sprintf("t%d/", rand.Uint64())})
		})
	}
}

// shelf is what a test works with: a prefix for its names.
type shelf struct {
	*testing.T
	ctx context.Context
	a   Archives
	dir string
}

// create stores content in pieces.
func (k *shelf) create(name string, content []byte) {
	k.Helper()
	err := k.a.Create(k.ctx, k.dir+name, func(w io.Writer) error {
		for piece := range slices.Chunk(content, 100_000) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
}

// has tests that a file has the content, or that none exists if it is nil.
func (k *shelf) has(name string, content []byte) {
	k.Helper()
	c, size, err := k.a.Open(k.ctx, k.dir+name)
	if content == nil {
		if !errors.Is(err, fs.ErrNotExist) {
			k.Errorf("%s exists: %v", name, err)
		}
		return
	}
	if err != nil {
		k.Error(err)
		return
	}
	defer c.Close()
	b := make([]byte, size)
	if n, err := c.ReadAt(b, 0); n < len(b) || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(b, content) {
		k.Errorf("%s has %d bytes instead of %d, or others (%v)", name, n, len(content), err)
	}
}

// content returns n bytes.
func content(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func ranges(k *shelf) {
	want := content(70_000)
	k.create("a.wind", want)
	c, size, err := k.a.Open(k.ctx, k.dir+"a.wind")
	if err != nil || size != int64(len(want)) {
		k.Fatal(size, err)
	}
	defer c.Close()
	for _, r := range [][2]int{{0, 16}, {69_960, 40}, {12_345, 20_000}, {0, 70_000}, {69_999, 1}, {5, 0}} {
		b := make([]byte, r[1])
		if n, err := c.ReadAt(b, int64(r[0])); n != r[1] || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(b, want[r[0]:r[0]+r[1]]) {
			k.Errorf("%d bytes at %d: %d, %v", r[1], r[0], n, err)
		}
	}
	b := make([]byte, 100)
	if n, err := c.ReadAt(b, 69_950); n != 50 || !errors.Is(err, io.EOF) || !bytes.Equal(b[:50], want[69_950:]) {
		k.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := c.ReadAt(b, 70_000); n != 0 || !errors.Is(err, io.EOF) {
		k.Errorf("behind the end: %d, %v", n, err)
	}
	if place := k.a.Place(k.dir + "a.wind"); !strings.Contains(place, "a.wind") {
		k.Errorf("its place is %s", place)
	}
}

func parts(k *shelf) {
	want := content(12 << 20) // an upload of several parts
	k.create("big.wind", want)
	k.has("big.wind", want)
	k.create("empty.wind", []byte{})
	k.has("empty.wind", []byte{})
}

func failing(k *shelf) {
	broken := errors.New("broken")
	for _, n := range []int{0, 1000, 7 << 20} {
		err := k.a.Create(k.ctx, k.dir+"half.wind", func(w io.Writer) error {
			_, err := w.Write(content(n))
			return errors.Join(err, broken)
		})
		if !errors.Is(err, broken) {
			k.Error(err)
		}
		k.has("half.wind", nil)
	}
}

func canceling(k *shelf) {
	for _, n := range []int{0, 1000, 7 << 20} {
		ctx, cancel := context.WithCancel(k.ctx)
		err := k.a.Create(ctx, k.dir+"half.wind", func(w io.Writer) error {
			_, _ = w.Write(content(n))
			cancel()
			return nil
		})
		if err == nil {
			k.Error("a canceled writer succeeded")
		}
		k.has("half.wind", nil)
	}
}

func listed(k *shelf) {
	for _, name := range []string{"r-1.b", "r-2.a", "r-1.a", "r-10.a", "deep/r-1.a"} {
		k.create(name, []byte("x"))
	}
	for prefix, want := range map[string][]string{"r-1.": {"r-1.a", "r-1.b"}, "r-2": {"r-2.a"}, "deep/": {"deep/r-1.a"}, "deep/r": {"deep/r-1.a"}, "r-3": nil, "nowhere/r-1": nil} {
		names, err := k.a.List(k.ctx, k.dir+prefix)
		for i := range names {
			names[i] = strings.TrimPrefix(names[i], k.dir)
		}
		if err != nil || !slices.Equal(names, want) {
			k.Errorf("%s: %v, %v, want %v", prefix, names, err, want)
		}
	}
}

func removing(k *shelf) {
	k.create("a.wind", []byte("a"))
	k.create("b.wind", []byte("b"))
	for range 2 {
		if err := k.a.Remove(k.ctx, k.dir+"a.wind"); err != nil {
			k.Error(err)
		}
	}
	k.has("a.wind", nil)
	k.has("b.wind", []byte("b"))
}

func crowd(k *shelf) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name, want := fmt.Sprintf("c%d.wind", i), content(200_000+i)
			k.create(name, want)
			var readers sync.WaitGroup
			for range 3 {
				readers.Go(func() { k.has(name, want) })
			}
			readers.Wait()
		})
	}
	group.Wait()
}
