package frame

import "encoding/binary"

// DatagramType is the fifth byte of a packet on the datagram lane.
type DatagramType uint8

// Types 16 to 31 are reserved for the secure handshake and its sealed packets.
const (
	DatagramKnock   DatagramType = 1 // client → server: | nonce u64 |, padded to KnockSize
	DatagramCookie  DatagramType = 2 // server → client: | nonce u64 | cookie |
	DatagramGone    DatagramType = 3 // server → client: | conv u32 |: no such connection here
	DatagramMessage DatagramType = 4 // either way: | session u64 | message |, id in the header
)

const (
	// DatagramHeader is | 0 u32 | type u8 | 0 u8 | message id u16 |.
	DatagramHeader = 8
	// MessageHeader is DatagramHeader and the session id.
	MessageHeader = DatagramHeader + 8
	// CookieSize is the length of a cookie: a time, u32, and 16 bytes of HMAC.
	CookieSize = 20
	// KnockSize is the length of a whole knock. No answer to it is longer.
	KnockSize = 64
	// MTU is the longest UDP payload, in bytes, that Wind sends.
	MTU = 1200
	// MaxPacket is the longest UDP payload that Wind accepts, in bytes. (kcp-go's
	// buffers hold 1,500 bytes, and it panics on a longer segment.)
	MaxPacket = 1500
)

// IsDatagram reports whether a packet belongs to the datagram lane. Such a packet
// starts with 0; a KCP segment starts with its conversation id, which is never 0.
func IsDatagram(packet []byte) bool {
	return len(packet) >= 4 && binary.LittleEndian.Uint32(packet) == 0
}

// AppendDatagram appends the header of a datagram; id is 0 unless t is
// DatagramMessage.
func AppendDatagram(dst []byte, t DatagramType, id uint16) []byte {
	dst = append(dst, 0, 0, 0, 0, byte(t), 0)
	return binary.LittleEndian.AppendUint16(dst, id)
}

// ParseDatagram splits a packet of the datagram lane. ok is false if the packet is
// malformed or belongs to the KCP lane. body aliases packet.
func ParseDatagram(packet []byte) (t DatagramType, id uint16, body []byte, ok bool) {
	if len(packet) < DatagramHeader || !IsDatagram(packet) || packet[5] != 0 {
		return 0, 0, nil, false
	}
	return DatagramType(packet[4]), binary.LittleEndian.Uint16(packet[6:]), packet[DatagramHeader:], true
}

// AppendMessageHeader appends the header of a message datagram. Append the message
// after it.
func AppendMessageHeader(dst []byte, id uint16, session uint64) []byte {
	dst = AppendDatagram(dst, DatagramMessage, id)
	return binary.LittleEndian.AppendUint64(dst, session)
}

// ParseMessage splits the body of a message datagram.
func ParseMessage(body []byte) (session uint64, payload []byte, ok bool) {
	if len(body) < 8 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(body), body[8:], true
}

// AppendKnock appends a whole knock.
func AppendKnock(dst []byte, nonce uint64) []byte {
	start := len(dst)
	dst = AppendDatagram(dst, DatagramKnock, 0)
	dst = binary.LittleEndian.AppendUint64(dst, nonce)
	return append(dst, make([]byte, KnockSize-(len(dst)-start))...)
}

// ParseKnock returns the nonce of a knock's body. It refuses a short one, so that
// the answer is never longer than the knock.
func ParseKnock(body []byte) (nonce uint64, ok bool) {
	if len(body) < KnockSize-DatagramHeader {
		return 0, false
	}
	return binary.LittleEndian.Uint64(body), true
}

// AppendCookie appends the answer to a knock.
func AppendCookie(dst []byte, nonce uint64, cookie []byte) []byte {
	dst = AppendDatagram(dst, DatagramCookie, 0)
	dst = binary.LittleEndian.AppendUint64(dst, nonce)
	return append(dst, cookie...)
}

// ParseCookie splits the body of an answer to a knock.
func ParseCookie(body []byte) (nonce uint64, cookie []byte, ok bool) {
	if len(body) != 8+CookieSize {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(body), body[8:], true
}

// AppendGone appends the answer to a KCP packet of an unknown connection.
func AppendGone(dst []byte, conv uint32) []byte {
	return binary.LittleEndian.AppendUint32(AppendDatagram(dst, DatagramGone, 0), conv)
}

// ParseGone returns the conversation id that the server does not know.
func ParseGone(body []byte) (conv uint32, ok bool) {
	if len(body) != 4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(body), true
}
