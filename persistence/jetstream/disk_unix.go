//go:build unix

package jetstream

import "golang.org/x/sys/unix"

// freeBytes returns how many bytes an unprivileged process may still write to dir's disk.
func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return unknownFreeBytes
	}
	return int64(uint64(s.Bavail) * uint64(s.Bsize))
}

// errQuota is the error for a user who has used up a disk quota.
const errQuota = unix.EDQUOT
