//go:build unix

package cmd

import "golang.org/x/sys/unix"

// freeBytes returns the free space, in bytes, that dir's file system has for unprivileged processes.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
