// Package nodetest helps tests that start nodes and servers in processes of their own.
package nodetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The ports that Addr chooses from lie below those that Linux, macOS and Windows use for outgoing connections, so that no
// connection takes one before the server under test listens on it.
const (
	firstPort = 20_000
	lastPort  = 29_999
)

var (
	mu    sync.Mutex
	given = map[int]bool{} // by this process
)

// Addr returns a loopback address whose port is free for UDP and TCP. It returns each port once per process. Another process
// may still take it.
func Addr(tb testing.TB) string {
	tb.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if given[port] || !free(port) {
			continue
		}
		given[port] = true
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	tb.Fatalf("no free port found from %d to %d", firstPort, lastPort)
	return ""
}

// Port returns the port of an Addr.
func Port(tb testing.TB) string {
	tb.Helper()
	_, port, _ := net.SplitHostPort(Addr(tb))
	return port
}

func free(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return u.Close() == nil
}
