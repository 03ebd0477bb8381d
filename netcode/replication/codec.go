package replication

import "fmt"

// The codecs, by the first byte of a packet.
const (
	// CodecBits is the bit-packed codec of bitpack.go.
	CodecBits = 1
)

// codec writes and reads a block: what turns one state of a segment into another.
// A codec keeps nothing from block to block.
type codec interface {
	// append encodes what makes base into next; base may be empty. The same states give the same bytes.
	append(dst []byte, l *layout, base, next *state, fate fate) []byte
	// read decodes into next, which is empty; base is not changed. news learns which entities came
	// and went. A next that costs more than maxWords is an error, as is whatever append would not have written.
	read(b []byte, l *layout, base, next *state, maxWords int, news *news) error
}

// fate tells a codec what became of the entities that are in one state alone.
type fate interface {
	// spawned reports that the entity came into being after the version base and not after next;
	// from nothing (base 0), that it came into being in next.
	spawned(key, base, next uint64) bool
	// despawned reports that the entity is no more, in any cell.
	despawned(key uint64) bool
}

// news is what a block said about entities that came or went, against its base.
type news struct {
	spawned, despawned []uint64
}

func (n *news) reset() { n.spawned, n.despawned = n.spawned[:0], n.despawned[:0] }

func codecOf(version byte) (codec, error) {
	if version == CodecBits {
		return bitpack{}, nil
	}
	return nil, fmt.Errorf("replication: codec %d is not known here", version)
}
