package node

import (
	"fmt"
	"net"

	"github.com/ferris1/wind/persistence/taken"
)

// listenError adds the way out to the error of a socket.
func listenError(err error) error {
	if taken.Port(err) {
		return fmt.Errorf("%w: stop what uses the port, or name another one with --udp, --tcp or --http", err)
	}
	return err
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
