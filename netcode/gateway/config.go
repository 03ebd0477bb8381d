package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
)

// Config is what a gateway needs.
type Config struct {
	ID        string // of this gateway, [a-z0-9-]{1,60}
	Directory Directory
	Link      Link
	// Bindings keeps each player's Record, for all gateways: key "player/<base64url(player)>", value JSON.
	Bindings Bindings
	// Authenticator checks logins. Nil: a login message is sent to its service as it is, whose answer names the player.
	Authenticator Authenticator
	// Routes says which type of service takes a message (short name), where the directory does not, or names another.
	Routes map[string]string
	// Files have messages that the gateway is to know, besides those that are compiled in: it needs to know a message to
	// bring it from one format into another, for nothing else. New refuses those that share a short name or an id with others.
	Files []protoreflect.FileDescriptor
	// Tickets lets players into shards; without a key the gateway gives none.
	Tickets Tickets
	Limits  Limits
	// Logger gets what an operator should see. Nil: slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics, wind_gateway_*. Nil: none.
	Registerer prometheus.Registerer
}

// Tickets is what a gateway needs to seal connect tickets.
type Tickets struct {
	Key    []byte // of the cluster, as netcode.Config.TicketKey
	Shards Shards
	Life   time.Duration // 30 s
}

// Limits bound what sessions may do. The zero value of each is its default.
type Limits struct {
	// MaxInFlight is how many requests of one session may wait for their answers. 256.
	MaxInFlight int
	// Timeout is how long an answer is waited for when the client says nothing, MaxTimeout how long at most. 5 s, 1 min.
	Timeout, MaxTimeout time.Duration
	// AuthTimeout bounds the authenticator. 5 s.
	AuthTimeout time.Duration
	// LoginTimeout ends a session that is not logged in and has not sent a public message for so long. 1 min.
	LoginTimeout time.Duration
	// MaxLoginFailures ends a session. 8.
	MaxLoginFailures int
	// Grace is how long requests to an instance that has left may still be answered, and how long a player's next
	// requests wait for that before they go elsewhere. 1 s.
	Grace time.Duration
	// FindTimeout is how long requests wait for an instance when there is none. 3 s.
	FindTimeout time.Duration
	// RecordLife is how long a player's record stays that nobody looks after, because its gateway died; each session looks
	// after its own thrice in that time. Return is how long the record of a player that has left stays: whoever comes back
	// by then finds the same instances, later ones are balanced anew. 5 min, 15 s.
	RecordLife, Return time.Duration
}

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
	l := &c.Limits
	number(&l.MaxInFlight, 256)
	number(&l.MaxLoginFailures, 8)
	duration(&l.Timeout, rpc.DefaultTimeout)
	duration(&l.MaxTimeout, time.Minute)
	duration(&l.AuthTimeout, 5*time.Second)
	duration(&l.LoginTimeout, time.Minute)
	duration(&l.Grace, time.Second)
	duration(&l.FindTimeout, 3*time.Second)
	duration(&l.RecordLife, 5*time.Minute)
	duration(&l.Return, 15*time.Second)
	duration(&c.Tickets.Life, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case c.ID == "" || len(c.ID) > 60:
		return fmt.Errorf("gateway: id %q has not 1 to 60 characters", c.ID)
	case c.Directory == nil || c.Link == nil || c.Bindings == nil:
		return errors.New("gateway: a directory, a link and a store for bindings are needed")
	case len(c.Tickets.Key) > 0 && len(c.Tickets.Key) < netcode.MinTicketKey:
		return fmt.Errorf("gateway: a ticket key of %d bytes, at least %d are needed", len(c.Tickets.Key), netcode.MinTicketKey)
	case len(c.Tickets.Key) > 0 && c.Tickets.Shards == nil:
		return errors.New("gateway: a ticket key, and nothing that knows where the shards are")
	}
	return nil
}
