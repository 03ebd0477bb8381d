package netcode

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Ticket admits a player to a shard. A gateway, which knows who is logged in,
// seals it; the node that serves the shard opens it. It identifies the player and
// opens one session, once. It is not encrypted: until it expires, anyone who
// intercepts it can use it first.
type Ticket struct {
	Session  uint64    // the session that it opens, once: 63 random bits; SealTicket replaces 0
	Identity string    // who plays, 1 to 64 bytes
	Shard    string    // the shard that it opens, at most 255 bytes
	Issued   time.Time // in milliseconds, like Expires
	Expires  time.Time
	UDP, TCP string // addresses of the shard's node at sealing, at most 255 bytes each; empty: none
}

// Sizes of tickets and their key, in bytes.
const (
	ticketVersion = 2
	ticketFixed   = 1 + 3*8 // before the texts
	maxTicket     = ticketFixed + 4*256 + sha256.Size
	// MaxIdentity is the length of an identity in bytes.
	MaxIdentity = 64
	// TokenSize is the length of a resume token in bytes.
	TokenSize = 16
	// MinTicketKey is the shortest key that seals or opens a ticket.
	MinTicketKey = 16
)

// SealTicket returns the bytes of t, or an error if key or t is invalid:
// | 2 u8 | expiry u64, ms since 1970 | issue u64, likewise | session u64 | identity | shard | UDP | TCP |
// HMAC-SHA256(key, "wind ticket" and everything before) |, little endian, with a length byte before each text.
func SealTicket(key []byte, t Ticket) ([]byte, error) {
	if err := validTicket(key, t); err != nil {
		return nil, fmt.Errorf("netcode: %w", err)
	}
	if t.Session == 0 {
		t.Session = NewSession()
	}
	b := binary.LittleEndian.AppendUint64([]byte{ticketVersion}, uint64(t.Expires.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.Issued.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, t.Session)
	for _, s := range []string{t.Identity, t.Shard, t.UDP, t.TCP} {
		b = append(append(b, byte(len(s))), s...)
	}
	return append(b, ticketMAC(key, b)...), nil
}

// NewSession returns a random session id: 63 bits, not 0.
func NewSession() (id uint64) {
	for id == 0 {
		var b [8]byte
		rand.Read(b[:])
		id = binary.LittleEndian.Uint64(b[:]) >> 1
	}
	return id
}

// OpenTicket verifies a sealed ticket at the time now and returns its content. The
// text of its error is for the client that showed the ticket.
func OpenTicket(key, sealed []byte, now time.Time) (Ticket, error) {
	if len(key) < MinTicketKey {
		return Ticket{}, errors.New("this node has no valid key for tickets")
	}
	if len(sealed) > maxTicket || len(sealed) < ticketFixed+4+sha256.Size {
		return Ticket{}, errors.New("the ticket is malformed")
	}
	b, mac := sealed[:len(sealed)-sha256.Size], sealed[len(sealed)-sha256.Size:]
	if !hmac.Equal(mac, ticketMAC(key, b)) {
		return Ticket{}, errors.New("the ticket belongs to another cluster, or was forged")
	}
	if b[0] != ticketVersion {
		return Ticket{}, fmt.Errorf("the ticket has version %d, not %d", b[0], ticketVersion)
	}
	t := Ticket{
		Expires: time.UnixMilli(int64(binary.LittleEndian.Uint64(b[1:]))), Issued: time.UnixMilli(int64(binary.LittleEndian.Uint64(b[9:]))),
		Session: binary.LittleEndian.Uint64(b[17:]),
	}
	rest := b[ticketFixed:]
	for _, s := range []*string{&t.Identity, &t.Shard, &t.UDP, &t.TCP} {
		if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
			return Ticket{}, errors.New("the ticket is malformed")
		}
		*s, rest = string(rest[1:1+int(rest[0])]), rest[1+int(rest[0]):]
	}
	if len(rest) != 0 || t.Session == 0 || validTicket(key, t) != nil {
		return Ticket{}, errors.New("the ticket is malformed")
	}
	if late := now.Sub(t.Expires); late > 0 {
		return Ticket{}, fmt.Errorf("the ticket expired %v ago: ask the gateway for another", late.Round(time.Millisecond))
	}
	return t, nil
}

func validTicket(key []byte, t Ticket) error {
	switch {
	case len(key) < MinTicketKey:
		return fmt.Errorf("the ticket key has %d bytes; it needs at least %d", len(key), MinTicketKey)
	case t.Identity == "" || len(t.Identity) > MaxIdentity || !utf8.ValidString(t.Identity):
		return fmt.Errorf("a ticket's identity must be 1 to %d bytes of UTF-8, not %q", MaxIdentity, t.Identity)
	case t.Session>>63 != 0:
		return fmt.Errorf("a ticket's session has 63 bits, %d has 64", t.Session)
	case len(t.Shard) > 255 || len(t.UDP) > 255 || len(t.TCP) > 255:
		return errors.New("a ticket's shard and addresses have at most 255 bytes each")
	}
	return nil
}

func ticketMAC(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("wind ticket"))
	mac.Write(b)
	return mac.Sum(nil)
}
