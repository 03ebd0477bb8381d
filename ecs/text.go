package ecs

import (
	"strings"
	"unicode/utf8"
)

// Text16, Text32 and Text64 are texts of at most 16, 32 and 64 bytes of UTF-8, for components, resources, events,
// commands and messages. Two texts are equal (==) if and only if their strings are.
type (
	// Text16 holds up to 16 bytes.
	Text16 struct {
		n uint8
		b [16]byte
	}
	// Text32 holds up to 32 bytes.
	Text32 struct {
		n uint8
		b [32]byte
	}
	// Text64 holds up to 64 bytes.
	Text64 struct {
		n uint8
		b [64]byte
	}
)

// NewText16 returns s, cut at a character boundary to at most 16 bytes. It replaces invalid UTF-8.
func NewText16(s string) (t Text16) { t.n = fill(t.b[:], s); return t }

// NewText32 returns s, cut at a character boundary to at most 32 bytes. It replaces invalid UTF-8.
func NewText32(s string) (t Text32) { t.n = fill(t.b[:], s); return t }

// NewText64 returns s, cut at a character boundary to at most 64 bytes. It replaces invalid UTF-8.
func NewText64(s string) (t Text64) { t.n = fill(t.b[:], s); return t }

// String returns the text; it allocates.
func (t Text16) String() string { return string(t.b[:min(int(t.n), len(t.b))]) }

// String returns the text; it allocates.
func (t Text32) String() string { return string(t.b[:min(int(t.n), len(t.b))]) }

// String returns the text; it allocates.
func (t Text64) String() string { return string(t.b[:min(int(t.n), len(t.b))]) }

// MarshalText implements encoding.TextMarshaler, so JSON has the text as a string.
func (t Text16) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText implements encoding.TextMarshaler, so JSON has the text as a string.
func (t Text32) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText implements encoding.TextMarshaler, so JSON has the text as a string.
func (t Text64) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Len returns the length in bytes.
func (t Text16) Len() int { return min(int(t.n), len(t.b)) }

// Len returns the length in bytes.
func (t Text32) Len() int { return min(int(t.n), len(t.b)) }

// Len returns the length in bytes.
func (t Text64) Len() int { return min(int(t.n), len(t.b)) }

func fill(dst []byte, s string) uint8 {
	return uint8(copy(dst, clip(s, len(dst))))
}

// clip returns s as valid UTF-8 of at most n bytes.
func clip(s string, n int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// textOK reports whether b, a length byte and a buffer, is a text as the constructors write it.
func textOK(b []byte) bool {
	n := int(b[0])
	if b = b[1:]; n > len(b) {
		return false
	}
	for _, c := range b[n:] {
		if c != 0 {
			return false
		}
	}
	return utf8.Valid(b[:n])
}
