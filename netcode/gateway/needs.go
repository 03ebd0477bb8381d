package gateway

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
)

// Directory knows the running services. Implementations answer from memory and must be safe for concurrent use. Routes
// implements the second half of it.
type Directory interface {
	// Pick chooses an instance for a player, never one that drains or is full, and never except, which may be dead
	// before the directory notices. key identifies the player. home, which may be empty, is the instance that had the
	// player a moment ago: Pick prefers it to others that are not clearly emptier.
	Pick(serviceType, key, home, except string) (instance string, ok bool)
	// Leave says that a player has left an instance.
	Leave(serviceType, instance string)
	// Look returns the state of an instance.
	Look(serviceType, instance string) Standing
	// Takes reports whether an instance accepts requests in a format.
	Takes(serviceType, instance string, f rpc.Format) bool
	// Watch calls f when an instance comes, changes or (left) goes, until cancel. f must be quick and not call the
	// Directory.
	Watch(f func(serviceType, instance string, left bool)) (cancel func())
	// Route returns the route of a message by its frame id, RouteName by its short name.
	Route(id uint32) (Route, bool)
	RouteName(name string) (Route, bool)
}

// Standing is a Directory's view of an instance.
type Standing struct {
	Alive    bool // it is running, draining or not
	Draining bool // it accepts no new players
}

// Bindings keeps one Record per player, shared by all gateways. persistence/jetstream.KV implements it. Implementations
// must be safe for concurrent use.
type Bindings interface {
	// Get returns the value and its revision. Revision 0 means that the key does not exist.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// PutFor writes value if the key still has the given revision (0: the key does not exist) and returns the new
	// revision, which is greater than all before. If another writer came first, ok is false and err is nil. The key
	// expires when it has not been written for life.
	PutFor(ctx context.Context, key string, value []byte, revision uint64, life time.Duration) (next uint64, ok bool, err error)
	// Keys lists the keys that begin with prefix.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Route is a message's destination.
type Route struct {
	Type   string // of the service
	Method rpc.Method
}

// Link is the gateway's side of the bus between services. netcode/bus.Bus implements it. The caller passes its pushes to
// Gateway.Push. Implementations must be safe for concurrent use.
type Link interface {
	// Send sends r to one instance and returns. It calls done exactly once, from any goroutine and perhaps before it
	// returns: with the answer; with Unavailable and NotBegun if no instance received r; with DeadlineExceeded and Maybe
	// after r.Timeout. Send does not modify r or its payload, nor keep them after calling done.
	Send(serviceType, instance string, r *rpc.Request, done func(rpc.Response))
	// Fail fails the requests sent to an instance that is gone, with Unavailable and Maybe.
	Fail(serviceType, instance string)
	// Tell sends r without waiting for an answer.
	Tell(to rpc.Address, r rpc.Request) error
	// Push sends p to the gateways that have subscribed to a player, including this one.
	Push(player string, p rpc.Push) error
	// Subscribe subscribes to a player's pushes. When it returns, the subscription is ahead of anything sent later.
	Subscribe(player string) (cancel func(), err error)
	// Reconnected calls f each time the connection to the other gateways comes back after a cut, until cancel: pushes
	// may have been lost. f must be quick.
	Reconnected(f func()) (cancel func())
}

// Shards knows which nodes serve which shards.
type Shards interface {
	// Locate returns the addresses of the node that serves a shard; an address is empty if the node lacks that
	// transport. The client gets the error: an *rpc.Error unchanged, anything else as Unavailable.
	Locate(ctx context.Context, shard string) (udp, tcp string, err error)
}

// Login is a client's login message (rpc.Method.Login).
type Login struct {
	Message    string // short name
	Format     rpc.Format
	Payload    []byte                         // must not be kept
	Descriptor protoreflect.MessageDescriptor // nil: the gateway does not know the message
	Session    string
	Addr       netip.AddrPort
}

// Authenticator decides who logs in. Implementations must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the player, or an error. The client gets an *rpc.Error unchanged; any other error is logged,
	// and the client gets Unauthenticated without its text. ctx ends after Limits.AuthTimeout.
	Authenticate(ctx context.Context, l Login) (player string, err error)
}
