package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// maxText is the longest text of an Error, in bytes: a script can make a message of any length.
const maxText = 1000

// Error says why a script could not be loaded, or how it failed, and where in its source.
type Error struct {
	Pos    syntax.Position // the innermost place in a script
	In     string          // the function there, "" outside of functions
	Text   string          // one line
	Budget bool            // it used up its steps
	cause  error
}

// Error returns file:line:column, the function and the text, in one line.
func (e *Error) Error() string {
	switch {
	case e.In == "":
		return e.Pos.String() + ": " + e.Text
	case e.Budget:
		return e.Pos.String() + ": " + e.In + " " + e.Text
	}
	return e.Pos.String() + ": " + e.In + ": " + e.Text
}

// Place returns the function and file:line:column in the script. ecs.Failure reports it as the place of a panic.
func (e *Error) Place() string {
	if e.In == "" {
		return e.Pos.String()
	}
	return fmt.Sprintf("%s (%s)", e.In, e.Pos)
}

// Unwrap returns the error of the builtin that failed, or nil.
func (e *Error) Unwrap() error { return e.cause }

// errorAt makes an error of the host's own at a place in a script.
func errorAt(pos syntax.Position, format string, args ...any) *Error {
	return &Error{Pos: pos, Text: oneLine(fmt.Sprintf(format, args...))}
}

// errorOf translates an error of the interpreter. known returns the names to suggest for an undefined one.
func errorOf(err error, known func() []string) error {
	var (
		bad    syntax.Error
		many   resolve.ErrorList
		thrown *starlark.EvalError
	)
	switch {
	case errors.As(err, &bad):
		return errorAt(bad.Pos, "%s", bad.Msg)
	case errors.As(err, &many):
		return resolveError(many, known)
	case errors.As(err, &thrown):
		return evalError(thrown)
	}
	return err
}

// resolveError returns the first of the errors in the source. The resolver's own suggestion depends on map order, but a
// script's error in a shard must be the same everywhere, so resolveError makes the suggestion again.
func resolveError(many resolve.ErrorList, known func() []string) error {
	many = slices.Clone(many)
	slices.SortStableFunc(many, func(a, b resolve.Error) int {
		if a.Pos.Line != b.Pos.Line {
			return int(a.Pos.Line) - int(b.Pos.Line)
		}
		return int(a.Pos.Col) - int(b.Pos.Col)
	})
	text := many[0].Msg
	if name, ok := strings.CutPrefix(text, "undefined: "); ok {
		name, _, _ = strings.Cut(name, " ")
		text = "undefined: " + name
		if known != nil {
			text += meant(name, known())
		}
	}
	if n := len(many) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return errorAt(many[0].Pos, "%s", text)
}

// evalError returns a failure at run time: at the innermost place in a script, with the outermost function that led
// there.
func evalError(thrown *starlark.EvalError) *Error {
	e := &Error{Text: oneLine(thrown.Msg), cause: thrown.Unwrap()}
	found := false
	for i := range len(thrown.CallStack) {
		f := thrown.CallStack.At(i)
		switch {
		case f.Pos.Filename() == "<builtin>":
		case !found:
			e.Pos, e.In, found = f.Pos, f.Name, true
		case i == len(thrown.CallStack)-1:
			e.Text += fmt.Sprintf(" (called from %s, %s)", f.Pos, frameName(f.Name))
		}
	}
	if e.In == topLevel {
		e.In = ""
	}
	return e
}

// topLevel is the interpreter's name for the code of a module outside functions.
const topLevel = "<toplevel>"

func frameName(name string) string {
	if name == topLevel {
		return "while loading"
	}
	return name
}

func oneLine(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Join(strings.Fields(s), " ")
}
