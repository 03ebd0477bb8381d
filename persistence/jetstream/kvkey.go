package jetstream

import "strings"

// Keys in NATS are tokens separated by dots and consist of letters, digits, - _ / and =. A slash in a Wind key becomes
// a dot there, so that filters and people see the parts: game/YWRh is game.YWRh. Letters, digits, - and _ stay as they
// are. Any other byte becomes = and two hex digits, and an empty part becomes = alone:
//
//	game/YWRh        game.YWRh
//	name of é        name=20of=20=C3=A9
//	a//b.c           a.=.b=2Ec
//
// Different keys have different encodings, and each encoding decodes to exactly one key.

const hexDigits = "0123456789ABCDEF"

// plainByte reports whether a byte is encoded as itself.
func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// encodeKey encodes a key for NATS. Any non-empty string has an encoding.
func encodeKey(key string) string {
	b := make([]byte, 0, len(key)+8)
	for i, part := range strings.Split(key, "/") {
		if i > 0 {
			b = append(b, '.')
		}
		b = appendPart(b, part)
	}
	return string(b)
}

func appendPart(b []byte, part string) []byte {
	if part == "" {
		return append(b, '=')
	}
	for i := range len(part) {
		if c := part[i]; plainByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// decodeKey is the inverse of encodeKey. ok is false if encodeKey never produces s.
func decodeKey(s string) (key string, ok bool) {
	b := make([]byte, 0, len(s))
	for i, part := range strings.Split(s, ".") {
		if i > 0 {
			b = append(b, '/')
		}
		if part == "=" {
			continue
		}
		if b, ok = decodePart(b, part); !ok {
			return "", false
		}
	}
	return string(b), true
}

func decodePart(b []byte, part string) ([]byte, bool) {
	if part == "" {
		return b, false
	}
	for i := 0; i < len(part); i++ {
		c := part[i]
		if plainByte(c) {
			b = append(b, c)
			continue
		}
		if c != '=' || i+2 >= len(part) {
			return b, false
		}
		high, low := strings.IndexByte(hexDigits, part[i+1]), strings.IndexByte(hexDigits, part[i+2])
		if high < 0 || low < 0 || plainByte(byte(high<<4|low)) || high<<4|low == '/' {
			return b, false
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return b, true
}

// keyFilter returns a filter for keys that share all complete parts of prefix. It selects at least the keys that begin
// with prefix.
func keyFilter(prefix string) string {
	end := strings.LastIndexByte(prefix, '/')
	if end < 0 {
		return ">"
	}
	return encodeKey(prefix[:end]) + ".>"
}
