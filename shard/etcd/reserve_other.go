//go:build !linux

package etcd

import "os"

// setAside does nothing: the system has no such call.
func setAside(*os.File, int64) {}
