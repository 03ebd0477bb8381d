// Package storetest tests implementations of rpc.Store of package netcode/rpc, which keep the data of services, and of
// persistence.Archives. An implementation need not import those packages. The implementations in this module and in
// separate ones run these tests.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Store has the methods of rpc.Store.
type Store interface {
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error)
	Delete(ctx context.Context, key string, revision uint64) (ok bool, err error)
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Run tests a store. Each call of open opens the store again, on the same data, which need not be empty. Run calls open
// from one goroutine at a time.
func Run(t *testing.T, open func() Store) {
	for _, c := range []struct {
		name string
		test func(k *kit)
	}{
		{"a missing key", missing},
		{"compare and set", compareAndSet},
		{"a deleted key", deleted},
		{"revisions are never reused", revisions},
		{"any bytes are values", values},
		{"any text is a key", keys},
		{"keys are listed by prefix", listing},
		{"limits", limits},
		{"a canceled context", canceled},
		{"concurrent writers lose nothing", contention},
		{"two creators, one wins", creators},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c.test(&kit{T: t, ctx: ctx, open: open, a: open(), b: open(), prefix: fmt.Sprintf("t%d/", rand.Uint64())})
		})
	}
}

// kit is what a test works with: two users of one store, and a prefix for its keys.
type kit struct {
	*testing.T
	ctx    context.Context
	open   func() Store
	a, b   Store
	prefix string
}

func (k *kit) key(name string) string { return k.prefix + name }

// put writes a value; the write must succeed.
func (k *kit) put(s Store, name, value string, revision uint64) uint64 {
	k.Helper()
	next, ok, err := s.Put(k.ctx, k.key(name), []byte(value), revision)
	if err != nil || !ok || next == 0 || next == revision {
		k.Fatalf("Put %q with revision %d: %d, %v, %v", name, revision, next, ok, err)
	}
	return next
}

// refuse writes with a wrong revision; the store must refuse it.
func (k *kit) refuse(s Store, name string, revision uint64) {
	k.Helper()
	next, ok, err := s.Put(k.ctx, k.key(name), []byte("not written"), revision)
	if err != nil || ok {
		k.Fatalf("Put %q with the wrong revision %d: %d, %v, %v", name, revision, next, ok, err)
	}
}

func (k *kit) must(s Store, name, value string, revision uint64) {
	k.Helper()
	got, at, err := s.Get(k.ctx, k.key(name))
	if err != nil || string(got) != value || at != revision {
		k.Fatalf("Get %q: %d bytes %.40q, revision %d, %v; want %d bytes %.40q, revision %d", name, len(got), got, at, err, len(value), value, revision)
	}
}

func (k *kit) remove(s Store, name string, revision uint64, want bool) {
	k.Helper()
	ok, err := s.Delete(k.ctx, k.key(name), revision)
	if err != nil || ok != want {
		k.Fatalf("Delete %q with revision %d: %v, %v; want %v", name, revision, ok, err, want)
	}
}

func missing(k *kit) {
	k.must(k.a, "x", "", 0)
	k.refuse(k.a, "x", 1)
	k.refuse(k.a, "x", 1<<40)
	k.remove(k.a, "x", 1, false)
	k.remove(k.a, "x", 0, true)
	k.must(k.a, "x", "", 0)
	if list, err := k.a.Keys(k.ctx, k.prefix); err != nil || len(list) != 0 {
		k.Fatalf("%q, %v", list, err)
	}
}

func compareAndSet(k *kit) {
	one := k.put(k.a, "x", "one", 0)
	k.must(k.b, "x", "one", one)
	k.refuse(k.b, "x", 0)
	two := k.put(k.b, "x", "two", one)
	k.refuse(k.a, "x", one)
	k.refuse(k.a, "x", 0)
	k.refuse(k.a, "x", two+1)
	k.must(k.a, "x", "two", two)
	k.remove(k.a, "x", one, false)
	k.remove(k.a, "x", 0, false)
	three := k.put(k.a, "x", "two", two) // the same value gets a new revision
	k.must(k.b, "x", "two", three)
}

func deleted(k *kit) {
	one := k.put(k.a, "x", "one", 0)
	k.remove(k.b, "x", one, true)
	k.must(k.a, "x", "", 0)
	k.remove(k.a, "x", one, false)
	k.remove(k.a, "x", 0, true)
	k.refuse(k.a, "x", one)
	two := k.put(k.a, "x", "two", 0)
	k.must(k.b, "x", "two", two)
	k.refuse(k.b, "x", 0)
	k.remove(k.a, "x", two, true)
	k.remove(k.b, "x", 0, true)
	k.put(k.b, "x", "three", 0)
}

func revisions(k *kit) {
	seen := map[uint64]bool{}
	for range 5 {
		r := k.put(k.a, "x", "same", 0)
		for old := range seen {
			k.refuse(k.b, "x", old)
			k.remove(k.b, "x", old, false)
		}
		if seen[r] {
			k.Fatalf("revision %d was reused", r)
		}
		seen[r] = true
		k.remove(k.a, "x", r, true)
	}
}

func values(k *kit) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, v := range map[string]string{"empty": "", "zero": "\x00", "all": string(all), "most": strings.Repeat("\xff", 1<<20)} {
		b := []byte(v)
		r, ok, err := k.a.Put(k.ctx, k.key(name), b, 0)
		if err != nil || !ok {
			k.Fatalf("%s: %v, %v", name, ok, err)
		}
		clear(b) // it belongs to the caller again
		k.must(k.b, name, v, r)
	}
	r, ok, err := k.a.Put(k.ctx, k.key("nil"), nil, 0)
	if err != nil || !ok {
		k.Fatalf("nil: %v, %v", ok, err)
	}
	k.must(k.b, "nil", "", r)
	got, _, err := k.a.Get(k.ctx, k.key("all"))
	if err != nil {
		k.Fatal(err)
	}
	clear(got) // so is this
	again, _, err := k.a.Get(k.ctx, k.key("all"))
	if err != nil || !bytes.Equal(again, all) {
		k.Fatalf("the store returned its own memory: %q, %v", again, err)
	}
}

// oddKeys are in byte order.
var oddKeys = []string{
	"\x00", "\x00\x00", "\n", " ", "  ", "\"", "$", "%", "%25", "'; DROP TABLE wind_store; --", "*", ".", "..", "./", "/", "//", "//a", "/a",
	"=", "=2E", "=2e", "==", ">", "?", "A", "[a]", "\\", "\\*", "_", "a", "a b", "a*", "a.", "a.b", "a/", "a//b", "a/b", "a=2Fb", "a>", "aa", "b",
	"{a}", "é", "€", "😀", "\U0010FFFF",
}

func keys(k *kit) {
	if !slices.IsSorted(oddKeys) {
		k.Fatal("the test's keys are not in order")
	}
	for _, name := range oddKeys {
		k.put(k.a, name, "value of "+name, 0)
	}
	for _, name := range oddKeys {
		got, r, err := k.b.Get(k.ctx, k.key(name))
		if err != nil || r == 0 || string(got) != "value of "+name {
			k.Fatalf("Get %q: %q, %d, %v", name, got, r, err)
		}
	}
	k.listed(k.prefix, oddKeys...)
}

// listed checks a list of keys. A replicated store's list may lag, but must catch up.
func (k *kit) listed(prefix string, names ...string) {
	k.Helper()
	want := make([]string, len(names))
	for i, name := range names {
		want[i] = k.key(name)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got, err := k.b.Keys(k.ctx, prefix)
		if err != nil {
			k.Fatal(err)
		}
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			k.Fatalf("the keys with the prefix %q are\n%q, want\n%q", prefix, got, want)
		}
	}
}

func listing(k *kit) {
	for _, name := range oddKeys {
		k.put(k.a, name, "", 0)
	}
	for _, prefix := range append([]string{"", "a/b/", "a/b", "x", "a b c"}, oddKeys...) {
		var want []string
		for _, name := range oddKeys {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		k.listed(k.key(prefix), want...)
	}
	_, r, err := k.a.Get(k.ctx, k.key("a"))
	if err != nil {
		k.Fatal(err)
	}
	k.remove(k.a, "a", r, true)
	k.listed(k.key("a"), "a b", "a*", "a.", "a.b", "a/", "a//b", "a/b", "a=2Fb", "a>", "aa")
	if all, err := k.a.Keys(k.ctx, ""); err != nil || len(all) < len(oddKeys)-1 || !slices.IsSorted(all) {
		k.Fatalf("all keys: %d, %v", len(all), err)
	}
}

func limits(k *kit) {
	long := strings.Repeat("k", 512-len(k.prefix))
	slashes := strings.Repeat("/", 512-len(k.prefix))
	euros := strings.Repeat("€", (512-len(k.prefix))/3)
	for _, name := range []string{long, slashes, euros} {
		k.must(k.b, name, "v", k.put(k.a, name, "v", 0))
	}
	for what, key := range map[string]string{"no key": "", "a long key": strings.Repeat("k", 513), "no UTF-8": "a\xff"} {
		if _, _, err := k.a.Get(k.ctx, key); err == nil {
			k.Errorf("%s: Get", what)
		}
		if _, _, err := k.a.Put(k.ctx, key, nil, 0); err == nil {
			k.Errorf("%s: Put", what)
		}
		for r := range uint64(2) {
			if _, err := k.a.Delete(k.ctx, key, r); err == nil {
				k.Errorf("%s: Delete with revision %d", what, r)
			}
		}
	}
	if _, _, err := k.a.Put(k.ctx, k.key("v"), make([]byte, 1<<20+1), 0); err == nil {
		k.Error("a long value")
	}
	k.must(k.a, "v", "", 0)
	k.refuse(k.a, "v", 1<<64-1)
	k.remove(k.a, "v", 1<<64-1, false)
}

func canceled(k *kit) {
	r := k.put(k.a, "x", "v", 0)
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	if _, _, err := k.a.Get(ctx, k.key("x")); err == nil {
		k.Error("Get")
	}
	if _, ok, err := k.a.Put(ctx, k.key("y"), nil, 0); err == nil || ok {
		k.Error("Put")
	}
	if ok, err := k.a.Delete(ctx, k.key("x"), r); err == nil || ok {
		k.Error("Delete")
	}
	if _, err := k.a.Keys(ctx, k.prefix); err == nil {
		k.Error("Keys")
	}
}

func contention(k *kit) {
	const writers, each = 6, 25
	k.put(k.a, "n", "0", 0)
	stores := make([]Store, writers)
	for i := range stores {
		stores[i] = k.open()
	}
	var group sync.WaitGroup
	for _, s := range stores {
		group.Go(func() {
			for done := 0; done < each; {
				v, r, err := s.Get(k.ctx, k.key("n"))
				if err != nil {
					k.Error(err)
					return
				}
				n, err := strconv.Atoi(string(v))
				if err != nil {
					k.Error(err)
					return
				}
				_, ok, err := s.Put(k.ctx, k.key("n"), []byte(strconv.Itoa(n+1)), r)
				if err != nil {
					k.Error(err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	group.Wait()
	if v, _, err := k.a.Get(k.ctx, k.key("n")); err != nil || string(v) != strconv.Itoa(writers*each) {
		k.Fatalf("%d increments resulted in %s, %v", writers*each, v, err)
	}
}

// creators race to create a key, first a new one, then a deleted one.
func creators(k *kit) {
	for round := range 10 {
		var wins [2]uint64
		var group sync.WaitGroup
		for i, s := range []Store{k.a, k.b} {
			group.Go(func() {
				r, ok, err := s.Put(k.ctx, k.key("x"), []byte{byte(i)}, 0)
				if err != nil {
					k.Error(err)
				}
				if ok {
					wins[i] = r
				}
			})
		}
		group.Wait()
		if (wins[0] == 0) == (wins[1] == 0) {
			k.Fatalf("round %d: winners with revisions %v", round, wins)
		}
		k.remove(k.a, "x", wins[0]+wins[1], true)
	}
}
