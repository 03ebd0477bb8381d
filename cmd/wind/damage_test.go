package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestDamageIsFoundAndLeftAsItWas damages the log of a node that was killed, in each of the ways in which a disk or a
// hand can. The check and the replay end with 3 and name sequence and tick, a start refuses, and not a byte of the
// directory changes.
func TestDamageIsFoundAndLeftAsItWas(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	udp, http := nodetest.Addr(t), nodetest.Addr(t)
	node := wind(t, "serve", "--data", data, "--udp", udp, "--tcp", "", "--http", http, "--monsters", "10")
	node.owns(http, 60)
	node.kill()

	for _, damage := range []struct {
		name string
		do   func(b []byte, rows []row) []byte
	}{
		{"one byte altered", func(b []byte, rows []row) []byte {
			r := rows[len(rows)/2]
			b[(r.from+r.to)/2] ^= 1
			return b
		}},
		{"one byte of the last record altered", func(b []byte, rows []row) []byte {
			r := rows[len(rows)-1]
			b[(r.from+r.to)/2] ^= 0x40
			return b
		}},
		{"one record removed", func(b []byte, rows []row) []byte {
			r := rows[len(rows)/2]
			return append(b[:r.from:r.from], b[r.to:]...)
		}},
		{"tail cut", func(b []byte, rows []row) []byte { return b[:rows[len(rows)-10].from] }},
		{"last record cut", func(b []byte, rows []row) []byte { return b[:rows[len(rows)-1].from] }},
		{"last record cut in its middle", func(b []byte, rows []row) []byte {
			r := rows[len(rows)-1]
			return b[:(r.from+r.to)/2]
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			damaged := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(damaged, os.DirFS(data)); err != nil {
				t.Fatal(err)
			}
			block := logBlock(t, damaged)
			b, err := os.ReadFile(block)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(block, damage.do(b, rowsOf(t, b)), 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, damaged)

			var report struct {
				Findings []struct{ Seq, Tick uint64 }
			}
			run(t, 3, &report, "log", "check", "--data", damaged, "--json")
			if len(report.Findings) == 0 || report.Findings[0].Seq == 0 || report.Findings[0].Tick == 0 {
				t.Errorf("log check does not name sequence and tick: %+v", report)
			}
			replay := run(t, 3, nil, "replay", "--data", damaged, "--verify", "--json")
			if !regexp.MustCompile(`(sequence|record) \d+`).MatchString(replay.log()) || !regexp.MustCompile(`tick \d+`).MatchString(replay.log()) {
				t.Errorf("replay does not name sequence and tick: %s", replay.log())
			}
			start := run(t, 3, nil, "serve", "--data", damaged, "--udp", udp, "--tcp", "", "--http", "")
			if !strings.Contains(start.log(), "history lost") {
				t.Errorf("a start does not say that history was lost: %s", start.log())
			}
			doctor := string(run(t, 1, nil, "doctor", "--data", damaged, "--udp", "", "--tcp", "", "--http", "").output())
			if !strings.Contains(doctor, "history lost: ") || !strings.Contains(doctor, "start from a backup or another directory") || strings.Contains(doctor, "accept-loss") {
				t.Errorf("the doctor does not say what a start says:\n%s", doctor)
			}
			if after := contents(t, damaged); !maps.Equal(before, after) {
				t.Errorf("the directory was changed:\n%s", changes(before, after))
			}
		})
	}
}

// row is a message in a block file of nats-server: bytes from to to.
type row struct{ from, to int }

// rowsOf finds the messages: each begins with its whole length, whose highest bit says that it has headers.
func rowsOf(t *testing.T, b []byte) (rows []row) {
	t.Helper()
	for from := 0; from+4 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[from:]) &^ (1 << 31))
		if n < 22 || from+n > len(b) {
			t.Fatalf("no message at byte %d of the block: length %d", from, n)
		}
		rows = append(rows, row{from, from + n})
		from += n
	}
	return rows
}

func logBlock(t *testing.T, data string) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(data, "nats", "jetstream", "*", "streams", "WIND_dev_main", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no block of the log in %s: %v", data, err)
	}
	return blocks[0]
}

// contents hashes every file of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = fmt.Sprintf("%d bytes, %x", len(b), xxh3.Hash(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func changes(before, after map[string]string) string {
	var out []string
	for path, was := range before {
		if after[path] != was {
			out = append(out, fmt.Sprintf("%s: %s, now %q", path, was, after[path]))
		}
	}
	for path, is := range after {
		if _, ok := before[path]; !ok {
			out = append(out, fmt.Sprintf("%s: new, %s", path, is))
		}
	}
	b, _ := json.MarshalIndent(out, "", " ")
	return string(b)
}
