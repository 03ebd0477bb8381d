package node

import (
	"fmt"
	"net"

	"github.com/ferris1/wind/persistence/taken"
)

// listenError adds a remedy to a socket's error.
func listenError(err error) error {
	if taken.Port(err) {
		return fmt.Errorf("%w: stop the program that uses the port, or name another port with --udp, --tcp or --http", err)
	}
	return err
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
