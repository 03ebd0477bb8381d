package netcode

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// Config says where a server listens and how much its clients may do. Except for
// the addresses, the zero value of each field selects the documented default.
type Config struct {
	// UDP and TCP are addresses to listen on, host:port. Port 0 picks a free
	// one; an empty address disables the transport. Without Insecure, Listen
	// accepts only loopback addresses.
	UDP, TCP string
	// Insecure allows other addresses too, although nothing is encrypted and,
	// without RequireTicket, nobody is authenticated.
	Insecure bool
	// Shard is the shard that this node serves. The server refuses a Hello that
	// names another one. Empty accepts any.
	Shard string

	// MaxSessions bounds the world's sessions, parked ones included. Default 4,096.
	MaxSessions int
	// Limits bound what one address and one identity may use.
	Limits Limits
	// MaxHalfOpen bounds the connections that the server has not admitted yet:
	// over UDP those with an unproven address, over TCP all. Default 256 of each.
	MaxHalfOpen int
	// HandshakeTimeout is how long a connection may take to be admitted. Default 5 s.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection that has sent nothing for this long. Default 30 s.
	IdleTimeout time.Duration
	// SilenceTimeout ends a session whose client sends nothing for this long after
	// Welcome. A client that falls silent later gets no updates until it sends
	// something again. Default 5 s.
	SilenceTimeout time.Duration
	// ResumeGrace is how long a session stays in the world without a
	// connection before it leaves. Default 30 s.
	ResumeGrace time.Duration
	// FramesPerSecond and BytesPerSecond bound what one connection may send;
	// bursts may be twice as large. Default 1,000 frames and 64 KiB.
	FramesPerSecond, BytesPerSecond int
	// MaxCommands bounds the reliable commands of one session that wait for a
	// tick. Default 64.
	MaxCommands int

	// Gateway handles the connections that speak RPC; nil refuses them.
	// SetGateway may set it later.
	Gateway Gateway
	// GatewayLater announces a later SetGateway: until then the server asks connections that speak RPC to try again
	// (REASON_NOT_OWNER).
	GatewayLater bool
	// Starting says that this node will own the shard soon, and that no other node owns it. Clients that arrive
	// before Own wait for it, at most two seconds; without Starting the server asks them to try again.
	Starting bool
	// GatewayFramesPerSecond and GatewayBytesPerSecond limit a connection that
	// speaks RPC; negative means no limit. Default 2,000 frames and 256 KiB.
	GatewayFramesPerSecond, GatewayBytesPerSecond int

	// Origins are hosts, as patterns of path.Match. Their pages may open a
	// WebSocket, and so may pages of the host that the client connects to.
	Origins []string

	// TicketKey is the cluster's key for tickets, 16 bytes or more. A
	// Hello with a ticket opens a session of the ticket's player; without a key
	// the server refuses it. SetTicketKey may set the key later.
	TicketKey []byte
	// RequireTicket refuses new sessions without a ticket.
	RequireTicket bool

	// Replication configures how far a client sees, and the encoding of updates.
	Replication replication.Config
	// Logger receives what an operator should see. Nil means slog.Default().
	Logger *slog.Logger
}

// Fixed limits, part of PROTOCOL.md.
const (
	// MaxTicksAhead is how many ticks beyond the newest latched one an input may
	// aim.
	MaxTicksAhead = 32
	// MaxPayload bounds the packed value of a command or an input, in bytes.
	MaxPayload = ecs.MaxClientCommand
	// TokenSize is the length of a resume token in bytes.
	TokenSize = 16
)

// Queue bounds of one connection, in bytes.
const (
	// updateBacklog is how much may wait on a stream before the server skips
	// updates. Each is encoded against what the client acknowledged, so a
	// missing one costs only time.
	updateBacklog = 64 << 10
	// outBacklog is how much may wait before the server ends the connection as
	// slow.
	outBacklog = 2 << 20
)

func (c Config) withDefaults() Config {
	number := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	duration := func(n *time.Duration, d time.Duration) {
		if *n == 0 {
			*n = d
		}
	}
	number(&c.MaxSessions, 4096)
	number(&c.MaxHalfOpen, 256)
	number(&c.FramesPerSecond, 1000)
	number(&c.BytesPerSecond, 64<<10)
	number(&c.MaxCommands, 64)
	number(&c.GatewayFramesPerSecond, 2000)
	number(&c.GatewayBytesPerSecond, 256<<10)
	duration(&c.HandshakeTimeout, 5*time.Second)
	duration(&c.IdleTimeout, 30*time.Second)
	duration(&c.SilenceTimeout, 5*time.Second)
	c.Limits = c.Limits.withDefaults()
	duration(&c.ResumeGrace, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}
