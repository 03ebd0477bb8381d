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

// Code says how a request ended. The numbers are gRPC's, so that other languages have names for them.
type Code uint32

// The codes in use. 0 is success.
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

// String is the code's name in lower case.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// Refusal reports whether a handler that answers with the code has, by saying so, turned the request down before it did
// anything. The other codes are those of work that broke off.
func (c Code) Refusal() bool {
	switch c {
	case InvalidArgument, NotFound, AlreadyExists, PermissionDenied, ResourceExhausted, FailedPrecondition, Aborted, Unimplemented, Unauthenticated:
		return true
	}
	return false
}

// CodeNamed finds a failure's code by its name with underscores, as scripts write it: "not_found".
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
	return 0, fmt.Errorf("there is no code %q; there are %s", name, strings.Join(known, ", "))
}

// Error is how a request failed, as its caller is told.
type Error struct {
	Code Code
	Text string
	// Maybe: an effect of the request may have left: a write, a message to somebody else, a change in memory. Without it
	// nothing of the request was done.
	Maybe bool
	// NotBegun: no handler has begun the request, so it may be sent to somebody else. Who received it says so, or who
	// knows that nobody did; a handler cannot.
	NotBegun bool
}

func (e *Error) Error() string {
	if e.Maybe {
		return fmt.Sprintf("%s: %s (it may have been executed)", e.Code, e.Text)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Text)
}

// NotBegun makes an error that says that no handler began the request.
func NotBegun(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...), NotBegun: true}
}

// Errorf makes an error for a handler to return.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// ErrorOf is err as a caller is told of it: an *Error as it is, a context's end by its code, anything else as
// Internal without its words, which are the service's own business. It says nothing of effects: who asks adds Maybe.
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
