package jetstream

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// longStore writes a log longer than the puller's two requests and stops the server cleanly, so that its index lists
// every record.
func longStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	server := startServer(t, ServerConfig{Dir: dir, Port: -1})
	conn := connectTo(t, server)
	s := createShard(t, conn)
	appendTicks(t, s, 2*pullMessages+500)
	s.Close()
	conn.Close()
	server.Close()
	return dir
}

// TestRecordsThatAreMissingAtTheEndEndTheRead damages a log so that more records are missing at its end than the puller
// requests at once. Formerly each "no messages" led to the next request, and the read never ended.
func TestRecordsThatAreMissingAtTheEndEndTheRead(t *testing.T) {
	store := longStore(t)
	for name, damage := range map[string]func(t *testing.T, rows []row){
		"a truncated block": func(t *testing.T, rows []row) {
			r := rows[20]
			if err := os.Truncate(r.file, int64(r.at)); err != nil {
				t.Fatal(err)
			}
		},
		"a flipped bit of a sequence": func(t *testing.T, rows []row) {
			r := rows[20]
			edit(t, r.file, func(b []byte) []byte {
				seq := binary.LittleEndian.Uint64(b[r.at+4:])
				binary.LittleEndian.PutUint64(b[r.at+4:], seq^1<<15)
				return b
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := duplicate(t, store)
			damage(t, rowsOf(t, dir, logStream("dev", "main")))
			ended := make(chan error, 1)
			go func() {
				_, err := CheckStore(testContext(t), dir)
				ended <- err
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, persistence.ErrLost) {
					t.Errorf("a start is not refused: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the check of a start does not end")
			}
			if at, err := readCopy(t, dir); at != 21 || err == nil {
				t.Errorf("reading a copy errs at record %d: %v", at, err)
			}
		})
	}
}
