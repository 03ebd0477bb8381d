package persistence

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// FormatVersion is the format version that this build writes, and the newest that
// it reads (packed deltas, several deltas in a message and seals have their own). See FORMAT.md.
const FormatVersion = 1

// Seq is the sequence of a message in a shard's log: 1 is genesis, 0 is before it.
type Seq uint64

// Epoch is the generation of a shard's ownership.
type Epoch uint64

// Hash is a 128-bit xxh3, big-endian as xxh3 prints it. It protects against
// accidents and splices, but not against attackers, who can compute it too.
type Hash [16]byte

// HashOf returns the hash of an encoded record body. The body contains the hash of
// the record before it, so equal hashes mean equal histories.
func HashOf(body []byte) Hash { return xxh3.Hash128(body).Bytes() }

// String returns the hash in 32 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Message is what a log stores: a body and the headers that make it readable in
// the store's own tools.
type Message struct {
	Seq    Seq // set by readers and by Chain.Link; Append ignores it and uses the next sequence
	Header Header
	Body   []byte
}

// Header is the readable summary of a body. Readers do not rely on it, but
// Chain compares it with the body.
type Header struct {
	Kind      string // "genesis", "epoch", "ticks", "seal", "delta", "deltas", "gap"
	FirstTick uint64
	LastTick  uint64
	Epoch     Epoch
	Checksum  uint64 // of the world after LastTick
	Version   int    // format version of the body
	Part      int    // 1 to Parts in a delta of several messages; 0 in a whole one
	Parts     int
}

// Names of a stored message's headers.
const (
	HeaderKind     = "Wind-Kind"
	HeaderTick     = "Wind-Tick"     // "812" or "805-812"
	HeaderEpoch    = "Wind-Epoch"    // decimal
	HeaderChecksum = "Wind-Checksum" // 16 hexadecimal digits
	HeaderFormat   = "Wind-Format"   // decimal
	HeaderPart     = "Wind-Part"     // "2/5"; absent when whole
)

// Each yields the headers by name, in a fixed order.
func (h Header) Each(yield func(name, value string) bool) {
	tick := strconv.FormatUint(h.LastTick, 10)
	if h.FirstTick != h.LastTick {
		tick = strconv.FormatUint(h.FirstTick, 10) + "-" + tick
	}
	_ = yield(HeaderKind, h.Kind) &&
		yield(HeaderTick, tick) &&
		yield(HeaderEpoch, strconv.FormatUint(uint64(h.Epoch), 10)) &&
		yield(HeaderChecksum, hex16(h.Checksum)) &&
		yield(HeaderFormat, strconv.Itoa(h.Version)) &&
		(h.Parts == 0 || yield(HeaderPart, strconv.Itoa(h.Part)+"/"+strconv.Itoa(h.Parts)))
}

// Size returns the size of the headers in NATS's encoding, in bytes.
func (h Header) Size() int {
	size := len("NATS/1.0\r\n") + len("\r\n")
	h.Each(func(name, value string) bool {
		size += len(name) + len(": ") + len(value) + len("\r\n")
		return true
	})
	return size
}

// ParseHeader is the inverse of Each. get returns the value of a header, or "".
func ParseHeader(get func(name string) string) (Header, error) {
	h := Header{Kind: get(HeaderKind)}
	if h.Kind == "" {
		return h, fmt.Errorf("persistence: no header %s", HeaderKind)
	}
	var failed error
	number := func(name, value string, base, bits int) uint64 {
		n, err := strconv.ParseUint(value, base, bits)
		if err != nil && failed == nil {
			failed = fmt.Errorf("persistence: header %s is %q", name, value)
		}
		return n
	}
	tick := get(HeaderTick)
	first, last, isRange := strings.Cut(tick, "-")
	if !isRange {
		last = first
	}
	h.FirstTick, h.LastTick = number(HeaderTick, first, 10, 64), number(HeaderTick, last, 10, 64)
	h.Epoch = Epoch(number(HeaderEpoch, get(HeaderEpoch), 10, 64))
	h.Checksum = number(HeaderChecksum, get(HeaderChecksum), 16, 64)
	h.Version = int(number(HeaderFormat, get(HeaderFormat), 10, 31))
	if part := get(HeaderPart); part != "" {
		p, n, _ := strings.Cut(part, "/")
		h.Part, h.Parts = int(number(HeaderPart, p, 10, 31)), int(number(HeaderPart, n, 10, 31))
	}
	return h, failed
}

// hex16 formats a checksum as every Wind tool does.
func hex16(v uint64) string { return fmt.Sprintf("%016x", v) }
