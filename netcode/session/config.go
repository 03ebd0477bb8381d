package session

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/replication"
)

// Config says what a shard's clients may do. The zero value of each field selects
// the documented default.
type Config struct {
	// Shard is the shard's name, for Welcome.
	Shard string
	// Starting says that this node will own the shard soon, and that no other node owns it. Clients that arrive
	// before Own wait for it, at most two seconds; without Starting they are asked to try again.
	Starting bool
	// MaxSessions bounds the world's sessions, parked ones included. Default 4,096.
	MaxSessions int
	// Accounts hold addresses and identities to their limits, together with the other
	// shards of the node. Default: accounts of the shard's own, with the default limits.
	Accounts *Accounts
	// SilenceTimeout ends a session whose client sends nothing for this long after
	// Welcome. A client that falls silent later gets no updates until it sends
	// something again. Default 5 s.
	SilenceTimeout time.Duration
	// ResumeGrace is how long a session stays in the world without a
	// connection before it leaves. Default 30 s.
	ResumeGrace time.Duration
	// MaxCommands bounds the reliable commands of one session that wait for a
	// tick. Default 64.
	MaxCommands int
	// RequireTicket refuses new sessions without a ticket.
	RequireTicket bool
	// Replication configures how far a client sees, and the encoding of updates.
	Replication replication.Config
	// Logger receives what an operator should see. Nil means slog.Default().
	Logger *slog.Logger

	// datagrams returns what handles a connection's datagrams.
	datagrams func(*link) func(id uint32, payload []byte) bool
}

// updateBacklog is how many bytes may wait on a stream before updates are skipped.
// Each is encoded against what the client acknowledged, so a missing one costs only
// time.
const updateBacklog = 64 << 10

// maxUpdateBody is how many bytes a datagram of frame.MTU bytes leaves for a
// replication packet.
const maxUpdateBody = 1120

func (c Config) withDefaults() Config {
	c.MaxSessions = cmp.Or(c.MaxSessions, 4096)
	c.MaxCommands = cmp.Or(c.MaxCommands, 64)
	c.SilenceTimeout = cmp.Or(c.SilenceTimeout, 5*time.Second)
	c.ResumeGrace = cmp.Or(c.ResumeGrace, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Accounts == nil {
		c.Accounts = NewAccounts(netcode.Limits{})
	}
	return c
}
