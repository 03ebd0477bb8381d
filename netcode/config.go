package netcode

import (
	"log/slog"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// Config says where a server listens and how much it lets its clients do. The
// zero value of every field but the addresses is a documented default.
type Config struct {
	// UDP and TCP are addresses to listen on, host:port; port 0 picks one, an
	// empty address leaves the transport out. Only loopback addresses are
	// taken unless Insecure.
	UDP, TCP string
	// Insecure allows addresses other than loopback, although nothing is
	// encrypted, and without RequireTicket nobody authenticated.
	Insecure bool
	// Shard is the shard that this node serves; a Hello that names another one
	// is refused. Empty takes any.
	Shard string

	// MaxSessions bounds the sessions of the world, parked ones included. 4,096.
	MaxSessions int
	// Limits bound what one address and one identity may take.
	Limits Limits
	// MaxHalfOpen bounds the connections that have not been let in yet: over
	// UDP those whose address is not proven, over TCP all. 256 of each.
	MaxHalfOpen int
	// HandshakeTimeout is how long a connection may take to be let in. 5 s.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection from which nothing comes. 30 s.
	IdleTimeout time.Duration
	// SilenceTimeout ends a session whose client never says anything, and is
	// how long one that falls silent gets updates. 5 s.
	SilenceTimeout time.Duration
	// ResumeGrace is how long a session stays in the world without a
	// connection before it leaves. 30 s.
	ResumeGrace time.Duration
	// FramesPerSecond and BytesPerSecond bound what one connection may send;
	// bursts of twice as much are allowed. 1,000 frames and 64 KiB.
	FramesPerSecond, BytesPerSecond int
	// MaxCommands bounds the reliable commands of one session that wait for a
	// tick. 64.
	MaxCommands int

	// Gateway takes the connections that speak RPC; nil refuses them. It may be
	// set later, with SetGateway.
	Gateway Gateway
	// GatewayLater says that SetGateway will be called: connections that speak RPC before that are told to come again
	// (REASON_NOT_OWNER).
	GatewayLater bool
	// Starting says that the shard will be owned soon, and that nobody else owns it: clients that come before wait for
	// that, for two seconds at most, in place of being told to come again.
	Starting bool
	// GatewayFramesPerSecond and GatewayBytesPerSecond are the limits of a
	// connection that speaks RPC; negative is no limit. 2,000 frames and 256 KiB.
	GatewayFramesPerSecond, GatewayBytesPerSecond int

	// Origins are hosts, as patterns of path.Match, whose pages may open a
	// WebSocket, besides the host that is connected to.
	Origins []string

	// TicketKey is the cluster's key of connect tickets, 16 bytes or more: a
	// session whose Hello shows a ticket is its player's. Without a key a Hello
	// with a ticket is refused. It may be set later, with SetTicketKey.
	TicketKey []byte
	// RequireTicket refuses new sessions without a ticket.
	RequireTicket bool

	// Replication says how updates are encoded.
	Replication replication.Config
	// Logger gets what an operator should see. Nil: slog.Default().
	Logger *slog.Logger
}

// Fixed limits, part of PROTOCOL.md.
const (
	// MaxTicksAhead is how far in front of the newest latched tick an input
	// may aim.
	MaxTicksAhead = 32
	// MaxPayload bounds the packed value of a command or an input, in bytes.
	MaxPayload = ecs.MaxClientCommand
	// Protocol is the version that Hello names.
	Protocol = 1
	// TokenSize is the length of a resume token in bytes.
	TokenSize = 16
)

// Queue bounds of one connection, in bytes.
const (
	// updateBacklog is how much may wait on a stream before updates are left
	// out: they are encoded against what the client acknowledged, so a
	// missing one costs nothing but time.
	updateBacklog = 64 << 10
	// outBacklog is how much may wait before the connection ends as slow.
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
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
