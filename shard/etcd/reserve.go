package etcd

import (
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// etcd ends its process when it cannot write. Reserved space avoids that on a full disk: etcd preallocates two segments
// of its write-ahead log, and while the disk has room, the database file gets reserveBytes more than it uses. At the
// rate of a shard's notes, both together last more than a day.
const (
	segmentBytes = 16 << 20 // of the write-ahead log; etcd's default of 64 MB suits clusters that write all the time
	reserveBytes = 8 << 20
	reserveEvery = 10 * time.Second
)

func init() { wal.SegmentSizeBytes = segmentBytes }

// reserving renews the database's reserve until quit is closed. It is best effort: on a file system that cannot
// preallocate or has no room left, it has no effect.
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

// database returns the path of the keys' file in a server's directory.
func database(dir string) string { return filepath.Join(memberDir(dir), "member", "snap", "db") }
