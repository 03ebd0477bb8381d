package etcd

import (
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// etcd ends its process when it cannot write. On a full disk it need not come to that: its write-ahead log has two
// segments that are set aside, and the database gets reserveBytes more than it uses while there is room. Both together
// last longer than a day at what a shard's notes write.
const (
	segmentBytes = 16 << 20 // of the write-ahead log; etcd's own 64 MB are for clusters that write all the time
	reserveBytes = 8 << 20
	reserveEvery = 10 * time.Second
)

func init() { wal.SegmentSizeBytes = segmentBytes }

// reserving keeps the reserve of the database until quit is closed. It is best effort: a file system that sets nothing
// aside, and one that has no room left, change nothing.
func reserving(db string, quit <-chan struct{}) {
	for {
		reserve(db)
		select {
		case <-quit:
			return
		case <-time.After(reserveEvery):
		}
	}
}

func reserve(db string) {
	f, err := os.OpenFile(db, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		setAside(f, info.Size()+reserveBytes)
	}
}

// database is the file of the keys of a server on a directory.
func database(dir string) string { return filepath.Join(memberDir(dir), "member", "snap", "db") }
