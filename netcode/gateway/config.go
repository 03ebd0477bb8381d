package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
)

// Config configures a Gateway.
type Config struct {
	ID        string // of this gateway, [a-z0-9-]{1,60}
	Directory Directory
	Link      Link
	// Bindings keeps each player's Record, shared by all gateways: key "player/<base64url(player)>", value JSON.
	Bindings Bindings
	// Authenticator checks logins. Nil: a login message goes to its service unchecked, and the answer names the player.
	// With one, the answer may name the same player or none; with TrustField, which checks nothing, any player.
	Authenticator Authenticator
	// Routes maps a message (short name) to a type of service. It overrides the directory and adds to it.
	Routes map[string]string
	// Files contain further messages that the gateway should know, in addition to those compiled in. It needs to know a
	// message only to convert it between formats. New refuses files whose messages share a short name or an id with
	// others.
	Files []protoreflect.FileDescriptor
	// Tickets lets players into shards. Without a key the gateway issues no tickets.
	Tickets Tickets
	Limits  Limits
	// Logger gets messages for operators. Nil: slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics, wind_gateway_*. Nil: no metrics.
	Registerer prometheus.Registerer
}

// Tickets is what a gateway needs to seal tickets.
type Tickets struct {
	Key    []byte // of the cluster, like netcode.Config.TicketKey
	Shards Shards
	Life   time.Duration // default: 30 s
}

// Limits bounds what sessions may do. A zero field means its default, which its comment gives.
type Limits struct {
	// MaxInFlight bounds the requests of one session that wait for their answers. Default: 256.
	MaxInFlight int
	// Timeout is how long to wait for an answer if the client sets no timeout. MaxTimeout is the longest a client may
	// set. Defaults: 5 s, 1 min.
	Timeout, MaxTimeout time.Duration
	// AuthTimeout bounds the authenticator. Default: 5 s.
	AuthTimeout time.Duration
	// LoginTimeout ends a session that has neither logged in nor sent a public message for this long. Default: 1 min.
	LoginTimeout time.Duration
	// MaxLoginFailures ends a session after this many failed logins. Default: 8.
	MaxLoginFailures int
	// Grace is how long an instance that has left may still answer requests. For at most that long, a player's next
	// requests wait for those answers before they go to another instance. Default: 1 s.
	Grace time.Duration
	// FindTimeout is how long requests wait when no instance is available. Default: 3 s.
	FindTimeout time.Duration
	// RecordLife is how long a player's record lasts without a refresh, for example after its gateway has died. Each
	// session refreshes its own three times in that period. Return is how long the record of a player that has left
	// lasts: a player that comes back within it finds the same instances, unless others have become clearly emptier
	// (Directory.Pick); after that the directory knows nothing of them.
	// Defaults: 5 min, 15 s.
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
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c *Config) validate() error {
	if err := ecs.ValidName(c.ID, ecs.MaxLongName); err != nil {
		return fmt.Errorf("gateway: its id: %w", err)
	}
	switch {
	case c.Directory == nil || c.Link == nil || c.Bindings == nil:
		return errors.New("gateway: Directory, Link and Bindings are required")
	case len(c.Tickets.Key) > 0 && len(c.Tickets.Key) < netcode.MinTicketKey:
		return fmt.Errorf("gateway: the ticket key has %d bytes, fewer than %d", len(c.Tickets.Key), netcode.MinTicketKey)
	case len(c.Tickets.Key) > 0 && c.Tickets.Shards == nil:
		return errors.New("gateway: a ticket key requires Tickets.Shards")
	}
	return nil
}
