package servers

import (
	"context"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/ferris1/wind/persistence/redis"
	"github.com/ferris1/wind/persistence/storetest"
)

// startRedis starts a server and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	program := need(t, "redis-server", "/usr/bin/redis-server", "redis-server")
	dir, as := folder(t)
	port := freePort(t)
	url := "redis://127.0.0.1:" + port + "/0"
	up := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := redis.Open(ctx, url, "up")
		if err == nil {
			err = s.Close()
		}
		return err
	}
	start(t, syscall.SIGTERM, dir, as, up, program, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "no")
	return url
}

func openRedis(t *testing.T, url, name string) *redis.Store {
	t.Helper()
	s, err := redis.Open(testContext(t), url, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRedis(t *testing.T) {
	url := startRedis(t)
	storetest.Run(t, func() storetest.Store { return openRedis(t, url, "accounts") })
	t.Run("stores are apart", func(t *testing.T) { apart(t, openRedis(t, url, "one"), openRedis(t, url, "two")) })
	t.Run("an answer that is lost is an error", func(t *testing.T) { redisPaused(t, url) })
	t.Run("a client that tries again is refused", func(t *testing.T) {
		c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
		defer c.Close()
		if _, err := redis.New(c, "accounts"); err == nil {
			t.Fatal("it was accepted")
		}
		if _, err := redis.Open(testContext(t), url, "a:b"); err == nil {
			t.Fatal("a bad name was accepted")
		}
	})
}

// apart checks that two stores share no key.
func apart(t *testing.T, a, b storetest.Store) {
	ctx := testContext(t)
	r, ok, err := a.Put(ctx, "x", []byte("a"), 0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, now, err := b.Get(ctx, "x"); now != 0 || err != nil {
		t.Fatal(now, err)
	}
	if _, ok, err := b.Put(ctx, "x", []byte("b"), r); ok || err != nil {
		t.Fatal(ok, err)
	}
	if keys, err := b.Keys(ctx, ""); len(keys) != 0 || err != nil {
		t.Fatal(keys, err)
	}
}

func redisPaused(t *testing.T, url string) {
	ctx := testContext(t)
	s := openRedis(t, url, "paused")
	r, ok, err := s.Put(ctx, "x", []byte("one"), 0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	defer c.Close()
	if err := c.Do(ctx, "CLIENT", "PAUSE", "60000", "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, ok, err := s.Put(short, "x", []byte("two"), r); ok || err == nil {
		t.Fatal("no answer came, but Put returned", ok, err)
	}
	if err := c.Do(ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	if v, now, err := s.Get(ctx, "x"); err != nil || now == 0 || string(v) != "two" && now != r {
		t.Fatalf("%q, %d, %v", v, now, err)
	}
}
