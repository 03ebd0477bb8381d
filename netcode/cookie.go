package netcode

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ferris1/wind/netcode/frame"
)

// cookieLife is how long a cookie proves its address.
const cookieLife = 30 * time.Second

// baker makes and checks cookies. A cookie proves that its sender can read what
// is sent to its address. The server stores nothing about it. Its bytes are
// | milliseconds u32 LE | first 16 bytes of HMAC-SHA256(secret, milliseconds, address, port) |.
// with the milliseconds of Unix time modulo 2^32.
type baker struct{ secret [32]byte }

func newBaker() *baker {
	b := new(baker)
	rand.Read(b.secret[:])
	return b
}

func (b *baker) cookie(addr netip.AddrPort, now time.Time) []byte {
	return b.bake(addr, uint32(now.UnixMilli()))
}

func (b *baker) bake(addr netip.AddrPort, milliseconds uint32) []byte {
	mac := hmac.New(sha256.New, b.secret[:])
	var head [22]byte
	binary.LittleEndian.PutUint32(head[:], milliseconds)
	ip := addr.Addr().As16()
	copy(head[4:], ip[:])
	binary.LittleEndian.PutUint16(head[20:], addr.Port())
	mac.Write(head[:])
	out := make([]byte, 4, 4+sha256.Size)
	binary.LittleEndian.PutUint32(out, milliseconds)
	return mac.Sum(out)[:frame.CookieSize]
}

// proves reports whether cookie was made for addr within cookieLife before now.
func (b *baker) proves(cookie []byte, addr netip.AddrPort, now time.Time) bool {
	if len(cookie) != frame.CookieSize || cookieAge(cookie, now) > cookieLife {
		return false
	}
	return hmac.Equal(cookie, b.bake(addr, binary.LittleEndian.Uint32(cookie)))
}

// cookieAge returns how long ago a cookie was made. A time in the future wraps
// around to one long past. It does not check that the cookie is genuine.
func cookieAge(cookie []byte, now time.Time) time.Duration {
	return time.Duration(uint32(now.UnixMilli())-binary.LittleEndian.Uint32(cookie)) * time.Millisecond
}
