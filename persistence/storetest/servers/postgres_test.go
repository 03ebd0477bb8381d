package servers

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ferris1/wind/persistence/postgres"
	"github.com/ferris1/wind/persistence/storetest"
)

// startPostgres starts a server and returns the URL of a database in it.
func startPostgres(t *testing.T) string {
	t.Helper()
	initdb := need(t, "initdb", "/usr/lib/postgresql/*/bin/initdb", "postgresql")
	program := need(t, "postgres", "/usr/lib/postgresql/*/bin/postgres", "postgresql")
	dir, as := folder(t)
	data := filepath.Join(dir, "data")
	c := exec.Command(initdb, "-D", data, "-U", "wind", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	c.Dir, c.SysProcAttr = dir, as
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, said)
	}
	port := freePort(t)
	url := "postgres://wind@127.0.0.1:" + port + "/postgres?sslmode=disable"
	up := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		nc, err := pgx.Connect(ctx, url)
		if err == nil {
			err = nc.Close(ctx)
		}
		return err
	}
	start(t, syscall.SIGINT, dir, as, up, program, "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	return url
}

func openPostgres(t *testing.T, url, name string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(testContext(t), url, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestPostgres(t *testing.T) {
	url := startPostgres(t)
	t.Run("many create the table at once", func(t *testing.T) {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				s, err := postgres.Open(testContext(t), url, "accounts")
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		group.Wait()
	})
	storetest.Run(t, func() storetest.Store { return openPostgres(t, url, "accounts") })
	t.Run("stores are apart", func(t *testing.T) { apart(t, openPostgres(t, url, "one"), openPostgres(t, url, "two")) })
	t.Run("a write that is not answered is an error", func(t *testing.T) { postgresLocked(t, url) })
	t.Run("a bad name is refused", func(t *testing.T) {
		if _, err := postgres.Open(testContext(t), url, "a'b"); err == nil {
			t.Fatal("it was accepted")
		}
	})
}

func postgresLocked(t *testing.T, url string) {
	ctx := testContext(t)
	s := openPostgres(t, url, "locked")
	r, ok, err := s.Put(ctx, "x", []byte("one"), 0)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	nc, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close(ctx)
	tx, err := nc.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "SELECT 1 FROM wind_store WHERE store = 'locked' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, ok, err := s.Put(short, "x", []byte("two"), r); ok || err == nil {
		t.Fatal("no answer came, but Put returned", ok, err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if v, now, err := s.Get(ctx, "x"); err != nil || now == 0 || string(v) != "two" && now != r {
		t.Fatalf("%q, %d, %v", v, now, err)
	}
}
