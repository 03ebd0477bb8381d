package rpc

import (
	"context"
	"unicode/utf8"
)

// Bus carries messages between services. Implementations may be called concurrently. netcode/bus is the one on NATS.
type Bus interface {
	// Call sends r and waits for the answer. A failure, also of the way, is the error, an *Error; NotBegun says that no
	// handler began the request, because nobody is there for one.
	Call(ctx context.Context, to Address, r Request) (Response, error)
	// Tell sends r and waits for nothing.
	Tell(to Address, r Request) error
	// Push sends a message to the client of one player, wherever it is connected, or with "" to all of them.
	Push(player string, m Push) error
}

// Push is a message to clients that answers nothing. Gateways send it in the format of each client: a client whose
// format it is not gets it transcoded when the gateway knows the message, else not at all.
type Push struct {
	Message string // short name
	ID      uint32 // frame id
	Format  Format
	Payload []byte
}

// Store keeps what a service wants to survive it. Keys are 1 to 512 bytes of UTF-8, values at most 1 MiB.
// Implementations may be called concurrently: JetStream's KV in persistence/jetstream, Redis and PostgreSQL in modules of
// their own.
type Store interface {
	// Get returns the value and its revision; revision 0 says that there is none.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put writes value if the key still has the given revision (0: the key does not exist) and returns the new one;
	// ok is false, without an error, when somebody else has written in the meantime.
	Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error)
	// Delete removes the key if it still has the given revision.
	Delete(ctx context.Context, key string, revision uint64) (ok bool, err error)
	// Keys lists the keys that begin with prefix, in byte order. Of a replicated store it may be a moment behind.
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// The bounds of what a Store keeps.
const (
	maxKey   = 512     // bytes
	maxValue = 1 << 20 // bytes
)

// CheckEntry refuses what no Store keeps.
func CheckEntry(key string, value []byte) error {
	switch {
	case key == "" || len(key) > maxKey || !utf8.ValidString(key):
		return Errorf(InvalidArgument, "a key of the store has 1 to %d bytes of UTF-8, not %d: %.40q", maxKey, len(key), key)
	case len(value) > maxValue:
		return Errorf(InvalidArgument, "the value of %.40q has %d bytes: the store takes %d", key, len(value), maxValue)
	}
	return nil
}
