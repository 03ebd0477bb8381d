package jetstream

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ferris1/wind/persistence/storetest"
)

func openKV(t testing.TB, c *Conn, o KVOptions) *KV {
	t.Helper()
	k, err := OpenKV(testContext(t), c, "dev", "players", o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKV(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		storetest.Run(t, func() storetest.Store {
			return openKV(t, s.connect(t, ""), KVOptions{Replicas: s.replicas, MaxBytes: 64 << 20})
		})
	})
}

func TestKVIsReadByTools(t *testing.T) {
	s := startServer(t, ServerConfig{})
	c := connectTo(t, s)
	k := openKV(t, c, KVOptions{})
	ctx := testContext(t)
	if _, ok, err := k.Put(ctx, "game/YWRh", []byte("game-1"), 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	kv, err := c.js.KeyValue(ctx, "WIND_dev_players")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(ctx, "game.YWRh")
	if err != nil || string(e.Value()) != "game-1" {
		t.Fatal(e, err)
	}
	// Changes by a tool are visible, and its foreign keys are ignored.
	if err := kv.Purge(ctx, "game.YWRh"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "a/b", nil); err != nil {
		t.Fatal(err)
	}
	if _, r, err := k.Get(ctx, "game/YWRh"); r != 0 || err != nil {
		t.Fatal(r, err)
	}
	if keys, err := k.Keys(ctx, ""); len(keys) != 0 || err != nil {
		t.Fatal(keys, err)
	}
	if r, ok, err := k.Put(ctx, "game/YWRh", nil, 0); !ok || err != nil || r == 0 {
		t.Fatal(r, ok, err)
	}
	if _, _, ok := parseLogStream("KV_WIND_dev_players"); ok {
		t.Fatal("a bucket is taken for a shard's log")
	}
}

func TestKVForgetsAfterItsTTL(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{}))
	k := openKV(t, c, KVOptions{TTL: time.Second})
	ctx := testContext(t)
	first, ok, err := k.Put(ctx, "x", []byte("v"), 0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, r, err := k.Get(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		if r == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("it is still there")
		}
	}
	if _, ok, err := k.Put(ctx, "x", nil, first); ok || err != nil {
		t.Fatal("a revision that is gone", ok, err)
	}
	if _, ok, err := k.Put(ctx, "x", nil, 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestKVForgetsAValueThatIsNotWrittenAgain(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		k := openKV(t, s.connect(t, ""), KVOptions{Replicas: s.replicas})
		ctx := testContext(t)
		put := func(key string, revision uint64, life time.Duration) uint64 {
			t.Helper()
			next, ok, err := k.PutFor(ctx, key, []byte("x"), revision, life)
			if !ok || err != nil || next <= revision {
				t.Fatal(next, ok, err)
			}
			return next
		}
		put("player/ann", 0, time.Second)
		bob := put("player/bob", 0, time.Second)
		put("player/bob", bob, time.Hour) // its lifetime starts again
		if _, ok, err := k.PutFor(ctx, "player/bob", nil, bob, time.Second); ok || err != nil {
			t.Fatal("written over a newer revision", ok, err)
		}
		for {
			keys, err := k.Keys(ctx, "player/")
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) == 1 && keys[0] == "player/bob" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if _, r, err := k.Get(ctx, "player/ann"); r != 0 || err != nil {
			t.Fatal(r, err)
		}
		put("player/ann", 0, time.Second) // an expired key can be written like a new one
	})
}

func TestKVTimeoutIsAnError(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		p := newProxy(t, s.addrs[len(s.addrs)-1])
		k := openKV(t, s.connect(t, p.addr), KVOptions{Replicas: s.replicas, MaxBytes: 64 << 20})
		ctx := testContext(t)
		r, ok, err := k.Put(ctx, "ambiguous", []byte("one"), 0)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		p.hold(toClient, true)
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, ok, err := k.Put(short, "ambiguous", []byte("two"), r); ok || err == nil {
			t.Fatal("after a lost answer, Put returns", ok, err)
		}
		p.hold(toClient, false)
		other := openKV(t, s.connect(t, ""), KVOptions{})
		if v, now, err := other.Get(ctx, "ambiguous"); err != nil || now == 0 || string(v) != "two" && now != r {
			t.Fatalf("%q, %d, %v", v, now, err)
		}
	})
}

func TestKVNamesAreChecked(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{}))
	for _, n := range [][2]string{{"Dev", "players"}, {"dev", "a_b"}, {"dev", ""}, {"dev", strings.Repeat("x", 61)}} {
		if _, err := OpenKV(testContext(t), c, n[0], n[1], KVOptions{}); err == nil {
			t.Errorf("%q is a bucket", n)
		}
	}
}

func FuzzKVKey(f *testing.F) {
	for _, s := range []string{"a", "/", "a//b", "=", "=2E", ".", "a.b", "é", "\xff", "=2F", "=61", "a=", "=2e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if back, ok := decodeKey(key); ok && encodeKey(back) != key {
			t.Fatalf("%q is read as %q, which is written %q", key, back, encodeKey(back))
		}
		if key == "" {
			return
		}
		e := encodeKey(key)
		if !utf8.ValidString(e) || strings.HasPrefix(e, ".") || strings.HasSuffix(e, ".") || strings.Contains(e, "..") || strings.ContainsAny(e, " *>\r\n\t/") {
			t.Fatalf("%q is written %q", key, e)
		}
		if back, ok := decodeKey(e); !ok || back != key {
			t.Fatalf("%q came back as %q, %v", key, back, ok)
		}
	})
}

func TestKVWatchTellsWhatIsAndWhatComes(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		k := openKV(t, s.connect(t, ""), KVOptions{Replicas: s.replicas, MaxBytes: 64 << 20})
		ctx := testContext(t)
		put := func(key, value string, revision uint64) uint64 {
			t.Helper()
			next, ok, err := k.Put(ctx, key, []byte(value), revision)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			return next
		}
		first := put("game/1", "a", 0)
		type told struct {
			value    string
			revision uint64
		}
		seen := make(chan told, 8)
		watching, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			ended <- k.Watch(watching, "game/1", func(value []byte, revision uint64) { seen <- told{string(value), revision} })
		}()
		next := func(want told) {
			t.Helper()
			select {
			case got := <-seen:
				if got != want {
					t.Fatalf("watched %v, want %v", got, want)
				}
			case <-ctx.Done():
				t.Fatalf("Watch does not report %v", want)
			}
		}
		next(told{"a", first})
		put("game/2", "of another key", 0)
		second := put("game/1", "b", first)
		next(told{"b", second})
		if ok, err := k.Delete(ctx, "game/1", second); !ok || err != nil {
			t.Fatal(ok, err)
		}
		next(told{"c", put("game/1", "c", 0)})
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if err := k.Watch(ctx, "", nil); err == nil {
			t.Fatal("an empty key is accepted")
		}
	})
}
