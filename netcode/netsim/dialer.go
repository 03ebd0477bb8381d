package netsim

import (
	"fmt"
	"net"
	"sync/atomic"
)

// Dialer opens UDP sockets whose packets go over a simulated network. Its method Dial may be called concurrently.
type Dialer struct {
	Conditions Conditions
	Seed       uint64

	dialed atomic.Uint64
}

// Dial opens a socket to a server. Closing it ends its network.
func (d *Dialer) Dial(address string) (net.Conn, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("netsim: %w", err)
	}
	relay, err := Listen(to.String(), d.Conditions, d.Seed+d.dialed.Add(1)<<32)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, relay.Addr())
	if err != nil {
		relay.Close()
		return nil, fmt.Errorf("netsim: %w", err)
	}
	return &socket{conn, relay, to}, nil
}

// socket is a socket of a Dialer.
type socket struct {
	net.Conn
	relay *Relay
	to    *net.UDPAddr
}

// RemoteAddr returns the server's address.
func (s *socket) RemoteAddr() net.Addr { return s.to }

// Close implements net.Conn.
func (s *socket) Close() error {
	err := s.Conn.Close()
	s.relay.Close()
	return err
}
