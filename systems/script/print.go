package script

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// What one run may print.
const (
	maxPrint  = 1_000 // bytes of a line
	maxPrints = 64    // lines
)

// Lines bounds what one run prints: 64 lines of 1,000 bytes. The zero value is ready.
type Lines struct{ n int }

// Next is text as it is to be shown, and whether it is to be shown. The last line says that the others are left out.
func (l *Lines) Next(text string) (string, bool) {
	switch l.n++; {
	case l.n > maxPrints:
		return "", false
	case l.n == maxPrints:
		return fmt.Sprintf("it has printed %d lines: what it prints further is left out", maxPrints-1), true
	case len(text) > maxPrint:
		return strings.ToValidUTF8(text[:maxPrint], "") + "…", true
	}
	return text, true
}

// Brief is a value for a person: as it is printed, or its type where that would be long.
func Brief(v starlark.Value) string {
	if left := maxText; measure(v, 0, &left) {
		return v.String()
	}
	return "a large " + v.Type()
}

// Spend counts work that a host's builtin does for a script as steps of its budget: 16 bytes that are read or written are
// one. Beyond the budget it fails, and the run ends.
func Spend(t *starlark.Thread, bytes int) error { return spend(t, bytes/16) }
