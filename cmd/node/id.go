package node

import (
	"fmt"
	"strings"
)

// maxID is the longest id of a node: a host's name and a process id fit.
const maxID = 100

// ValidID returns an error unless a node can have that id: 1 to 100 of A-Z, a-z, 0-9, the dot, the dash and the underscore.
// It stands in etcd's keys, in logs and on command lines.
func ValidID(id string) error {
	if id == "" || len(id) > maxID || strings.Map(idRune, id) != id {
		return fmt.Errorf("%.100q is not a node's name: use 1 to %d of A-Z, a-z, 0-9, ., - and _", id, maxID)
	}
	return nil
}

// idRune replaces a character that no id has.
func idRune(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		return r
	}
	return '-'
}
