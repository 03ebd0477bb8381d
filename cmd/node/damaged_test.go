package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
)

// TestADamagedRoomIsHaltedAndTheOthersGoOn flips two bits in the record of one of two rooms whose logs share a stream.
// The next start serves the other one. The damaged one is halted, with the reason in etcd.
func TestADamagedRoomIsHaltedAndTheOthersGoOn(t *testing.T) {
	t.Parallel() // mostly waits
	dir := t.TempDir()
	config := func(c *Config) { c.Data = dir }
	n := startRooms(t, config)
	rooms := map[string]string{}   // by stream: one room
	var hurt, whole, stream string // two rooms of one stream
	for i := 0; whole == ""; i++ {
		r, err := n.cluster.Rooms("").Create(soon(t), asked(rpc.RoomSpec{}))
		if err != nil {
			t.Fatal(err)
		}
		found := streamOf(t, dir, r.ID)
		if first := rooms[found]; first != "" {
			hurt, whole, stream = first, r.ID, found
		}
		rooms[found] = r.ID
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(stream, hurt) {
		t.Fatalf("room %s has a stream of its own", hurt)
	}

	block := filepath.Join(StoreDir(dir), "jetstream", "$G", "streams", stream, "msgs", "1.blk")
	b, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("."+hurt+".")) + 150 // in the headers of its genesis
	b[at] ^= 1
	b[at+9] ^= 1
	if err := os.WriteFile(block, b, 0o600); err != nil {
		t.Fatal(err)
	}

	n = startRooms(t, config)
	c := n.cluster
	shown := func(id string) rpc.Room {
		list, err := c.Rooms("").List(soon(t), rpc.RoomFilter{Rooms: []string{id}})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0]
	}
	eventually(t, "the other room goes on", func() bool { r := shown(whole); return r.Node == n.ID() && !r.Halted })
	eventually(t, "the damaged room is halted", func() bool { r := shown(hurt); return r.Node == "" && r.Halted })
	s, err := etcd.Look(c.Etcd, "dev", hurt)
	if err != nil {
		t.Fatal(err)
	}
	standing, err := s.Read(soon(t))
	if err != nil || !strings.Contains(standing.Halted, "history lost from record 1 on") || !strings.Contains(standing.Halted, "1.blk at byte") {
		t.Errorf("it is halted because of %q, %v", standing.Halted, err)
	}
}

// streamOf returns the stream whose files have a record of a shard.
func streamOf(t *testing.T, dir, shard string) (stream string) {
	t.Helper()
	eventually(t, "the log of "+shard+" has a record", func() bool {
		blocks, err := filepath.Glob(filepath.Join(StoreDir(dir), "jetstream", "$G", "streams", "*", "msgs", "*.blk"))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks {
			name := filepath.Base(filepath.Dir(filepath.Dir(block)))
			if b, err := os.ReadFile(block); err == nil && strings.HasPrefix(name, "WIND_") && !strings.HasSuffix(name, "_DELTA") && bytes.Contains(b, []byte("."+shard+".")) {
				stream = name
			}
		}
		return stream != ""
	})
	return stream
}
