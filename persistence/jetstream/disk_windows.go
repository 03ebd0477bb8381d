package jetstream

import "golang.org/x/sys/windows"

// freeBytes is what an unprivileged process may still write on dir's disk.
func freeBytes(dir string) int64 {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return unknownFreeBytes
	}
	var free uint64
	if windows.GetDiskFreeSpaceEx(p, &free, nil, nil) != nil {
		return unknownFreeBytes
	}
	return int64(free)
}

// errQuota says that the disk is full, in the system's own words.
const errQuota = windows.ERROR_DISK_FULL
