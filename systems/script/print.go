package script

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// Limits on what one run may print.
const (
	maxPrint  = 1_000 // bytes of a line
	maxPrints = 64    // lines
)

// Lines limits what one run prints to 64 lines of 1,000 bytes. The zero value is ready to use.
type Lines struct{ n int }

// Next returns the text to show, and whether to show it. The last line shown says that the rest is dropped.
func (l *Lines) Next(text string) (string, bool) {
	switch l.n++; {
	case l.n > maxPrints:
		return "", false
	case l.n == maxPrints:
		return fmt.Sprintf("it has printed %d lines: further lines are dropped", maxPrints-1), true
	case len(text) > maxPrint:
		return strings.ToValidUTF8(text[:maxPrint], "") + "…", true
	}
	return text, true
}

// Brief formats a value for a person: as it prints, or its type if that would be long.
func Brief(v starlark.Value) string {
	if left := maxText; measure(v, 0, &left) {
		return v.String()
	}
	return "a large " + v.Type()
}

// Spend charges a script's budget for work that a host's builtin does: one step for 16 bytes read or written. It fails
// once the budget is used up, and the run ends.
func Spend(t *starlark.Thread, bytes int) error { return spend(t, bytes/16) }
