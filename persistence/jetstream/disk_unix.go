//go:build unix

package jetstream

import "golang.org/x/sys/unix"

// freeBytes is what an unprivileged process may still write on dir's disk.
func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return unknownFreeBytes
	}
	return int64(uint64(s.Bavail) * uint64(s.Bsize))
}

// errQuota says that the user's share of the disk is full.
const errQuota = unix.EDQUOT
