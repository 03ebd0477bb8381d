package netcode

import "maps"

// Stats counts the connections of a front door since Listen.
type Stats struct {
	Connections int // now, of all kinds

	Refused   uint64            // connections that nobody admitted
	RefusedBy map[string]uint64 // the same by reason

	Gateway       int    // connections that speak RPC, now
	GatewayOpened uint64 // connections that speak RPC, in total

	BytesIn, BytesOut uint64 // of all connections: UDP payload or TCP stream

	PacketsIgnored uint64 // not of this protocol, over a limit, or of an unknown connection
}

// Stats returns the statistics, including those of open connections.
func (d *Door) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Connections, d.stats.Gateway = len(d.conns), 0
	for c := range d.conns {
		d.tally(c)
		if c.gateway {
			d.stats.Gateway++
		}
	}
	s := d.stats
	s.RefusedBy = maps.Clone(s.RefusedBy)
	return s
}
