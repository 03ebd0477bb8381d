package node

import (
	"errors"
	"fmt"
	"net"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/persistence/taken"
)

// listenError adds a remedy to a socket's error.
func listenError(err error) error {
	if taken.Port(err) {
		return fmt.Errorf("%w: stop the program that uses the port, or name another port with --udp, --tcp or --http", err)
	}
	if errors.Is(err, netcode.ErrOpen) {
		return fmt.Errorf("%w: give --tls-cert and --tls-key (for --tcp and --http), name an address like 127.0.0.1:7777, or allow it with --insecure", err)
	}
	return err
}

// warnOpen warns of an address that other machines can reach and that nothing encrypts.
func (n *Node) warnOpen(what, addr string, encrypted bool) {
	if addr != "" && !encrypted && netcode.Loopback(addr) != nil {
		n.config.Logger.Warn("--insecure: other machines can reach an address, and nothing encrypts what clients send there", what, addr)
	}
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
