// Package taken recognises the error for a port in use on every system. Windows has its own error number and text for it.
package taken

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
)

// wsaAddrInUse is Windows' WSAEADDRINUSE. No socket there returns syscall.EADDRINUSE.
const wsaAddrInUse = syscall.Errno(10048)

// Port reports whether err, from listening on an address, means that its port is in use.
func Port(err error) bool { return port(err, runtime.GOOS) }

func port(err error, system string) bool {
	return errors.Is(err, syscall.EADDRINUSE) || system == "windows" && errors.Is(err, wsaAddrInUse)
}

// Said is like Port, but takes the text of an error.
func Said(text string) bool {
	return strings.Contains(text, "address already in use") || strings.Contains(text, "Only one usage of each socket address")
}
