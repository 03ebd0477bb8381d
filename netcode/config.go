package netcode

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"time"
)

// Config says where a front door listens and how much its clients may do. Except
// for the addresses, the zero value of each field selects the documented default.
type Config struct {
	// UDP and TCP are addresses to listen on, host:port. Port 0 picks a free
	// one; an empty address disables the transport. Without Insecure, Listen
	// accepts only loopback addresses, for TCP also others with TLS.
	UDP, TCP string
	// TLS makes TCP speak TLS and nothing else. Nil: plain TCP.
	TLS *tls.Config
	// Insecure allows addresses that other machines can reach, although nothing
	// is encrypted and, without tickets, nobody is authenticated.
	Insecure bool
	// Shard is the shard of a Hello that names none. A Hello for it that comes before
	// Serve is asked to try again. Empty: a Hello names its shard, or shows a ticket.
	Shard string

	// Locate says where a shard lives that is not here now. It must not block. Nil:
	// nobody knows.
	Locate func(shard string) Place

	// Limits bound what one address may use.
	Limits Limits
	// MaxConnections bounds the connections of all kinds. Default 16,384.
	MaxConnections int
	// MaxHalfOpen bounds the connections that wait to be admitted: over UDP
	// those with an unproven address, over TCP all. Default 256 of each.
	MaxHalfOpen int
	// HandshakeTimeout is how long a connection may take to be admitted. Default 5 s.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection that has sent nothing for this long. Default 30 s.
	IdleTimeout time.Duration
	// FramesPerSecond and BytesPerSecond bound what one connection may send;
	// bursts may be twice as large. Default 1,000 frames and 64 KiB.
	FramesPerSecond, BytesPerSecond int

	// Gateway handles the connections that speak RPC; nil refuses them.
	// SetGateway may set it later.
	Gateway Gateway
	// GatewayLater announces a later SetGateway: until then the door asks connections that speak RPC to try again
	// (REASON_NOT_OWNER).
	GatewayLater bool
	// GatewayFramesPerSecond and GatewayBytesPerSecond limit a connection that
	// speaks RPC; negative means no limit. Default 2,000 frames and 256 KiB.
	GatewayFramesPerSecond, GatewayBytesPerSecond int

	// Origins are hosts, as patterns of path.Match. Their pages may open a
	// WebSocket, and so may pages of the host that the client connects to.
	Origins []string

	// TicketKey is the cluster's key for tickets, 16 bytes or more. Without it the
	// door refuses a Hello with a ticket. SetTicketKey may set the key later.
	TicketKey []byte

	// Logger receives what an operator should see. Nil means slog.Default().
	Logger *slog.Logger
}

// Place is where a shard lives.
type Place struct {
	Exists         bool
	UDP, TCP, HTTP string // addresses of the node that serves it; empty while no node does
	Ended          string // why nobody will serve it any more; empty: it goes on
}

// outBacklog is how many bytes may wait on a connection before the door ends it as
// slow.
const outBacklog = 2 << 20

func (c Config) withDefaults() Config {
	for _, n := range []struct {
		value *int
		usual int
	}{
		{&c.MaxConnections, 16 << 10},
		{&c.MaxHalfOpen, 256},
		{&c.FramesPerSecond, 1000},
		{&c.BytesPerSecond, 64 << 10},
		{&c.GatewayFramesPerSecond, 2000},
		{&c.GatewayBytesPerSecond, 256 << 10},
	} {
		*n.value = cmp.Or(*n.value, n.usual)
	}
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	c.Limits = c.Limits.WithDefaults()
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}
