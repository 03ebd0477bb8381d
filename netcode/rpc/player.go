package rpc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPlayer is the longest name of a player, in bytes.
const MaxPlayer = 128

// ValidPlayer returns an error unless name is valid for a player: 1 to 128 bytes of UTF-8, without control characters and
// without spaces at its ends, because NATS trims them from headers. The error is an *Error with InvalidArgument.
func ValidPlayer(name string) error {
	switch {
	case name == "":
		return Errorf(InvalidArgument, "the player's name is empty")
	case len(name) > MaxPlayer:
		return Errorf(InvalidArgument, "the player's name has %d bytes, more than %d", len(name), MaxPlayer)
	case !utf8.ValidString(name):
		return Errorf(InvalidArgument, "the player's name is not UTF-8: %.64q", name)
	case strings.TrimSpace(name) != name:
		return Errorf(InvalidArgument, "the player's name begins or ends with a space: %.64q", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return Errorf(InvalidArgument, "the player's name has control characters: %.64q", name)
	}
	return nil
}
