package gateway

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
)

// Directory knows the services that run. Implementations may be called
// concurrently, and answer from memory. Routes has the second half of it.
type Directory interface {
	// Pick chooses an instance for a player, never a draining one and never except, which may be dead without the
	// directory knowing; key names the player.
	Pick(serviceType, key, except string) (instance string, ok bool)
	// Look says how an instance stands.
	Look(serviceType, instance string) Standing
	// Takes reports whether an instance takes requests in a format.
	Takes(serviceType, instance string, f rpc.Format) bool
	// Watch calls f when an instance comes, changes or (left) goes, until cancel. f is quick and calls nothing back.
	Watch(f func(serviceType, instance string, left bool)) (cancel func())
	// Route says who takes the message with a frame id, RouteName with a short name.
	Route(id uint32) (Route, bool)
	RouteName(name string) (Route, bool)
}

// Standing is what a Directory knows of an instance.
type Standing struct {
	Alive    bool // it is there, draining or not
	Draining bool // it takes nobody new
	Full     bool // it has no room for anybody new
}

// Bindings keeps one Record per player, for all gateways. persistence/jetstream.KV is one. Implementations may be called
// concurrently.
type Bindings interface {
	// Get returns the value and its revision; revision 0 says that there is none.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// PutFor writes value if the key still has the given revision (0: the key does not exist) and returns the new one,
	// which is greater than all before; ok is false, without an error, when somebody else has written in the meantime.
	// The key is gone once it was not written for life.
	PutFor(ctx context.Context, key string, value []byte, revision uint64, life time.Duration) (next uint64, ok bool, err error)
	// Keys lists the keys that begin with prefix.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Route is where a message goes.
type Route struct {
	Type   string // of the service
	Method rpc.Method
}

// Link is the gateway's side of the bus between services; netcode/bus.Bus is
// one. Its pushes go to Gateway.Push. Implementations may be called concurrently.
type Link interface {
	// Send sends r to one instance and returns. done is called exactly once, from any goroutine and perhaps before Send
	// returns: with the answer; with Unavailable and NotBegun when nobody got r; with DeadlineExceeded and Maybe after
	// r.Timeout. r and its payload are not written to, and not kept once done was called.
	Send(serviceType, instance string, r *rpc.Request, done func(rpc.Response))
	// Fail answers what was sent to an instance that is gone with Unavailable and Maybe.
	Fail(serviceType, instance string)
	// Tell sends r and waits for nothing.
	Tell(to rpc.Address, r rpc.Request) error
	// Push sends p to the gateways that have subscribed a player, this one too.
	Push(player string, p rpc.Push) error
	// Subscribe asks for the pushes to a player. What is sent after it returns is behind it.
	Subscribe(player string) (cancel func(), err error)
	// Reconnected calls f each time after the way to the other gateways was cut and is back, until cancel: pushes may have
	// been lost. f is quick.
	Reconnected(f func()) (cancel func())
}

// Shards knows where shards are served.
type Shards interface {
	// Locate returns the addresses of the node that serves a shard, empty for a transport that it has not. Its error is
	// told to the client: an *rpc.Error as it is, anything else as Unavailable.
	Locate(ctx context.Context, shard string) (udp, tcp string, err error)
}

// Login is a message of rpc.Method.Login, as a client sent it.
type Login struct {
	Message    string // short name
	Format     rpc.Format
	Payload    []byte                         // not to be kept
	Descriptor protoreflect.MessageDescriptor // nil: the gateway does not know the message
	Session    string
	Addr       netip.AddrPort
}

// Authenticator says who logs in. Implementations may be called concurrently.
type Authenticator interface {
	// Authenticate returns the player, or why not: an *rpc.Error as it is told to the client, anything else is logged and
	// told as Unauthenticated without its words. ctx ends with Limits.AuthTimeout.
	Authenticate(ctx context.Context, l Login) (player string, err error)
}
