//go:build !linux

package etcd

import "os"

// setAside does nothing where the system has no such call.
func setAside(*os.File, int64) {}
