package rpc

import (
	"context"
	"encoding/json"
	"unicode/utf8"
)

// Bus carries messages between services. Implementations must be safe for concurrent use. netcode/bus implements it
// over NATS.
type Bus interface {
	// Call sends r and waits for the answer. Failures, including those of the transport, are *Error values. NotBegun
	// means that no handler began the request, because nobody received it.
	Call(ctx context.Context, to Address, r Request) (Response, error)
	// Tell sends r without waiting for an answer.
	Tell(to Address, r Request) error
	// Push sends a message to the client of one player, wherever it is connected, or to all players if player is "".
	Push(player string, m Push) error
	// Command sends a command into a shard and waits until it is committed. It returns the tick of the commit. Its errors
	// are *Error values: FailedPrecondition means that the game rejected the command, with its reason; NotBegun that no
	// tick took it.
	Command(ctx context.Context, shard string, c ShardCommand) (tick uint64, err error)
}

// ShardCommand is a game's command for a shard.
type ShardCommand struct {
	Name  string          `json:"name"`            // the registered name
	Value json.RawMessage `json:"value,omitempty"` // an object, as ecs.Type.PackJSON reads it; absent: all zero
	From  string          `json:"-"`               // "<type>/<id>" of the sending service; "": an operator
}

// Push is a message to clients that answers no request. Gateways send it in each client's format. They transcode it
// if they know the message, and otherwise skip the clients that use another format.
type Push struct {
	Message string // short name
	ID      uint32 // frame id
	Format  Format
	Payload []byte
}

// Store keeps what must survive a service. Keys are 1 to 512 bytes of UTF-8, values at most 1 MiB. Implementations
// must be safe for concurrent use. persistence/jetstream has one in JetStream's KV; those in Redis and PostgreSQL are
// modules of their own.
type Store interface {
	// Get returns the value and its revision. Revision 0 means that the key does not exist.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put writes value if the key still has the given revision (0: the key does not exist) and returns the new one.
	// If another writer came first, ok is false and err is nil.
	Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error)
	// Delete removes the key if it still has the given revision.
	Delete(ctx context.Context, key string, revision uint64) (ok bool, err error)
	// Keys lists the keys that begin with prefix, in byte order. A replicated store may be a moment behind.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Limits of a Store's entries.
const (
	maxKey   = 512     // bytes
	maxValue = 1 << 20 // bytes
)

// CheckEntry returns an error if no Store keeps such an entry.
func CheckEntry(key string, value []byte) error {
	switch {
	case key == "" || len(key) > maxKey || !utf8.ValidString(key):
		return Errorf(InvalidArgument, "a key of the store has 1 to %d bytes of UTF-8, not %d: %.40q", maxKey, len(key), key)
	case len(value) > maxValue:
		return Errorf(InvalidArgument, "the value of %.40q has %d bytes: the store takes %d", key, len(value), maxValue)
	}
	return nil
}
