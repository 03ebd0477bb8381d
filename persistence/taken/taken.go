// Package taken tells that a port is taken, on every system: Windows has a number of its own for it, and other words.
package taken

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
)

// wsaAddrInUse is Windows' WSAEADDRINUSE; syscall.EADDRINUSE is a number there that no socket gives.
const wsaAddrInUse = syscall.Errno(10048)

// Port reports whether an error of listening says that something else listens there.
func Port(err error) bool { return port(err, runtime.GOOS) }

func port(err error, system string) bool {
	return errors.Is(err, syscall.EADDRINUSE) || system == "windows" && errors.Is(err, wsaAddrInUse)
}

// Said is Port for an error of which only the text is left.
func Said(text string) bool {
	return strings.Contains(text, "address already in use") || strings.Contains(text, "Only one usage of each socket address")
}
