package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// Code says how a request ended. The numbers are those of gRPC, so that other languages have names for them.
type Code uint32

// The codes in use. 0 means success.
const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	Unauthenticated    Code = 16
)

var codeNames = map[Code]string{
	OK: "ok", Canceled: "canceled", Unknown: "unknown", InvalidArgument: "invalid argument", DeadlineExceeded: "deadline exceeded",
	NotFound: "not found", AlreadyExists: "already exists", PermissionDenied: "permission denied", ResourceExhausted: "resource exhausted",
	FailedPrecondition: "failed precondition", Aborted: "aborted", Unimplemented: "unimplemented", Internal: "internal",
	Unavailable: "unavailable", Unauthenticated: "unauthenticated",
}

// String returns the code's name in lower case.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// Refusal reports whether the code means that a handler turned a request down before doing anything. The other codes
// mean that work broke off.
func (c Code) Refusal() bool {
	switch c {
	case InvalidArgument, NotFound, AlreadyExists, PermissionDenied, ResourceExhausted, FailedPrecondition, Aborted, Unimplemented, Unauthenticated:
		return true
	}
	return false
}

// CodeNamed returns the code of a failure by its name with underscores, as scripts write it: "not_found".
func CodeNamed(name string) (Code, error) {
	byName := map[string]Code{}
	for code, n := range codeNames {
		if code != OK {
			byName[strings.ReplaceAll(n, " ", "_")] = code
		}
	}
	if code, ok := byName[name]; ok {
		return code, nil
	}
	known := slices.Sorted(maps.Keys(byName))
	if near := ecs.Nearest(name, known); near != "" {
		return 0, fmt.Errorf("there is no code %q (did you mean %q?)", name, near)
	}
	return 0, fmt.Errorf("there is no code %q; the codes are %s", name, strings.Join(known, ", "))
}

// Error is how a request failed, as its caller sees it.
type Error struct {
	Code Code
	Text string
	// Maybe: an effect of the request may have left, such as a write, a message to another service or a change in
	// memory. Without Maybe, no part of the request was done.
	Maybe bool
	// NotBegun: no handler has begun the request, so it may be sent to another instance. Its receiver sets this, or a
	// party that knows there was no receiver. A handler cannot.
	NotBegun bool
}

func (e *Error) Error() string {
	if e.Text == "" || e.Text == e.Code.String() {
		return e.Code.String() + map[bool]string{true: " (it may have been executed)"}[e.Maybe]
	}
	if e.Maybe {
		return fmt.Sprintf("%s: %s (it may have been executed)", e.Code, e.Text)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Text)
}

// NotBegun makes an error for a request that no handler has begun.
func NotBegun(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: textOf(code, format, args), NotBegun: true}
}

// Errorf makes an error for a handler to return. The text of an *Error among args does not repeat the code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: textOf(code, format, args)}
}

func textOf(code Code, format string, args []any) string {
	for i, a := range args {
		if e, ok := a.(*Error); ok && e != nil && e.Code == code {
			args = slices.Clone(args)
			args[i] = strings.TrimPrefix(e.Error(), code.String()+": ")
		}
	}
	return fmt.Sprintf(format, args...)
}

// ErrorOf converts err for a caller. It returns an *Error unchanged and maps the end of a context to its code.
// Anything else becomes Internal without its text, which is the service's own business. It never sets Maybe; the
// caller of ErrorOf adds it.
func ErrorOf(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e != nil:
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(DeadlineExceeded, "the request took too long")
	case errors.Is(err, context.Canceled):
		return Errorf(Canceled, "the request was canceled")
	}
	return Errorf(Internal, "internal error")
}
