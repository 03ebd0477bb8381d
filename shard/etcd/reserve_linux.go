package etcd

import (
	"os"

	"golang.org/x/sys/unix"
)

// setAside allocates a file's blocks up to a length, without making the file longer.
func setAside(f *os.File, length int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, length)
}
