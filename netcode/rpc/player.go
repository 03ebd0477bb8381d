package rpc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPlayer is how many bytes a player's name has at most.
const MaxPlayer = 128

// ValidPlayer says why name cannot be a player's: 1 to 128 bytes of UTF-8, no control characters, and no spaces at its ends,
// which a header loses. The error is an *Error of InvalidArgument.
func ValidPlayer(name string) error {
	switch {
	case name == "":
		return Errorf(InvalidArgument, "a player without a name")
	case len(name) > MaxPlayer:
		return Errorf(InvalidArgument, "a player's name of %d bytes: it has %d at most", len(name), MaxPlayer)
	case !utf8.ValidString(name):
		return Errorf(InvalidArgument, "a player's name that is no UTF-8: %.64q", name)
	case strings.TrimSpace(name) != name:
		return Errorf(InvalidArgument, "a player's name that begins or ends with a space: %.64q", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return Errorf(InvalidArgument, "a player's name with control characters: %.64q", name)
	}
	return nil
}
