package replication

import "fmt"

// The codecs, by the first byte of a packet.
const (
	// CodecBits is the bit-packed codec of bitpack.go.
	CodecBits = 1
)

// codec writes and reads a block, which turns one state of a segment into another.
// A codec is stateless.
type codec interface {
	// append encodes the difference from base to next; base may be empty. The same states give the same bytes.
	append(dst []byte, l *layout, base, next *state, fate fate) []byte
	// read decodes into next, which must be empty, and leaves base unchanged. It adds the entities that came
	// and went to news. A next that costs more than maxWords is an error, as are bytes that append never writes.
	read(b []byte, l *layout, base, next *state, maxWords int, news *news) error
}

// fate tells a codec what happened to entities that only one of the two states contains.
type fate interface {
	// spawned reports whether the entity was created after version base and no later than next;
	// for base 0, whether it was created in next.
	spawned(key, base, next uint64) bool
	// despawned reports whether the entity no longer exists in any cell.
	despawned(key uint64) bool
}

// news lists the entities that a block spawned or despawned relative to its base.
type news struct {
	spawned, despawned []uint64
}

func (n *news) reset() { n.spawned, n.despawned = n.spawned[:0], n.despawned[:0] }

func codecOf(version byte) (codec, error) {
	if version == CodecBits {
		return bitpack{}, nil
	}
	return nil, fmt.Errorf("replication: unknown codec %d", version)
}
