package jetstream

import "golang.org/x/sys/windows"

// freeBytes returns how many bytes an unprivileged process may still write to dir's disk.
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

// errQuota is the system's error for a full disk.
const errQuota = windows.ERROR_DISK_FULL
