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

// baker makes and checks cookies. A cookie proves that who shows it can read
// what is sent to its address; nothing about it is stored. It is
// | seconds u32 LE | first 16 bytes of HMAC-SHA256(secret, seconds, address, port) |.
type baker struct{ secret [32]byte }

func newBaker() *baker {
	b := new(baker)
	rand.Read(b.secret[:])
	return b
}

func (b *baker) cookie(addr netip.AddrPort, now time.Time) []byte {
	return b.bake(addr, uint32(now.Unix()))
}

func (b *baker) bake(addr netip.AddrPort, seconds uint32) []byte {
	mac := hmac.New(sha256.New, b.secret[:])
	var head [22]byte
	binary.LittleEndian.PutUint32(head[:], seconds)
	ip := addr.Addr().As16()
	copy(head[4:], ip[:])
	binary.LittleEndian.PutUint16(head[20:], addr.Port())
	mac.Write(head[:])
	out := make([]byte, 4, 4+sha256.Size)
	binary.LittleEndian.PutUint32(out, seconds)
	return mac.Sum(out)[:frame.CookieSize]
}

// proves tells whether cookie was made for addr within cookieLife before now.
func (b *baker) proves(cookie []byte, addr netip.AddrPort, now time.Time) bool {
	if len(cookie) != frame.CookieSize {
		return false
	}
	seconds := binary.LittleEndian.Uint32(cookie)
	age := now.Unix() - int64(seconds)
	if age < 0 || age > int64(cookieLife/time.Second) {
		return false
	}
	return hmac.Equal(cookie, b.bake(addr, seconds))
}
