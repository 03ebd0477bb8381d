//go:build !linux

package udp

import (
	"net"

	"golang.org/x/net/ipv4"
)

func (s *Socket) read(ms []ipv4.Message) (int, error) {
	n, from, err := s.conn.ReadFromUDP(ms[0].Buffers[0])
	if err != nil {
		return 0, err
	}
	ms[0].N, ms[0].Addr = n, from
	return 1, nil
}

func (s *Socket) write(ms []ipv4.Message) (int, error) {
	for i := range ms {
		if _, err := s.conn.WriteToUDP(ms[i].Buffers[0], ms[i].Addr.(*net.UDPAddr)); err != nil {
			return i, err
		}
	}
	return len(ms), nil
}
