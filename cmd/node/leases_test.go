package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
)

// TestLookingAtLeasesLeavesNothingBehind: OpenLeases copies into one of jetstream's temporary directories, so the next
// copy of any part of a directory removes the copies of killed processes. For a damaged store, the error names the
// operator's directory, not the copy.
func TestLookingAtLeasesLeavesNothingBehind(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	store := filepath.Join(dir, "etcd")
	server, err := etcd.StartServer(ctx, etcd.ServerConfig{Dir: store, Development: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	copies := func() []string {
		all, err := filepath.Glob(filepath.Join(temp, "wind-*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	long := time.Now().Add(-time.Hour)
	left := filepath.Join(temp, "wind-copy-left")
	if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Join(left, "LOCK"), nil, 0o600), os.Chtimes(left, long, long)); err != nil {
		t.Fatal(err)
	}

	l, err := OpenLeases(ctx, dir, false, log)
	if err != nil {
		t.Fatal(err)
	}
	open := copies()
	if len(open) != 1 || open[0] == left {
		t.Fatalf("while one look is open, and one was killed before, there are %v", open)
	}
	if err := os.Chtimes(open[0], long, long); err != nil {
		t.Fatal(err)
	}
	other, err := jetstream.NewTempDir("")
	if err != nil {
		t.Fatal(err)
	}
	if all := copies(); len(all) != 2 {
		t.Errorf("another copy removed the open one: %v", all)
	}
	if err := errors.Join(other.Remove(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if all := copies(); len(all) != 0 {
		t.Errorf("left: %v", all)
	}

	db := filepath.Join(store, "member-wind", "member", "snap", "db")
	if err := os.Truncate(db, 6000); err != nil {
		t.Fatal(err)
	}
	_, err = OpenLeases(ctx, dir, false, log)
	if !errors.Is(err, etcd.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(store, "member-wind")) || strings.Contains(err.Error(), temp) {
		t.Errorf("a damaged store: %v", err)
	}
	if all := copies(); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}
