package gateway

import (
	"context"
	"net/netip"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/rpc"
)

// Directory knows the services that run. Implementations may be called
// concurrently, and answer from memory. Routes has the second half of it.
type Directory interface {
	// Pick chooses an instance for a player, never a draining one; key names the player.
	Pick(serviceType, key string) (instance string, ok bool)
	// Alive reports whether an instance is there, draining or not.
	Alive(serviceType, instance string) bool
	// Watch calls f when an instance comes, changes or (left) goes, until cancel. f is quick and calls nothing back.
	Watch(f func(serviceType, instance string, left bool)) (cancel func())
	// Route says who takes the message with a frame id, RouteName with a short name.
	Route(id uint32) (Route, bool)
	RouteName(name string) (Route, bool)
}

// Drainer is what a Directory may also be. Without it a player who logs in
// again stays with an instance that drains.
type Drainer interface {
	Draining(serviceType, instance string) bool
}

// Excluder is what a Directory may also be. Without it an instance that is dead
// and has the most room of all may be picked until its lease is over.
type Excluder interface {
	// PickOther is Pick, but never returns the excluded instance.
	PickOther(serviceType, key, excluded string) (instance string, ok bool)
}

// Speaker is what a Directory may also be. Without it every instance is taken
// to understand both formats.
type Speaker interface {
	// Takes reports whether an instance takes requests in a format. It answers from memory, without a lock that is held
	// while watchers are called.
	Takes(serviceType, instance string, f rpc.Format) bool
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
