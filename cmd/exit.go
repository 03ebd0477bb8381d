package cmd

import (
	"errors"
	"fmt"
)

// Exit codes, the same for every verb. A call is wrong usage if its words alone show that it can never succeed. If it depends
// on a file, a folder, a server or a taken port, the call fails: the same call may succeed later, or elsewhere.
const (
	exitDone   = 0 // it did what was asked
	exitFailed = 1 // it failed
	exitUsage  = 2 // it was called wrongly and tried nothing
	exitCheck  = 3 // a check found a divergence or a broken invariant
)

// usageError is the error of a call that cannot be carried out as written.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// checkError is the error of a check that ran and found something wrong.
type checkError struct{ err error }

func (e checkError) Error() string { return e.err.Error() }
func (e checkError) Unwrap() error { return e.err }

func checkf(format string, args ...any) error { return checkError{fmt.Errorf(format, args...)} }

// exitCode maps an error to the process's exit code.
func exitCode(err error) int {
	var usage usageError
	var check checkError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &check):
		return exitCheck
	}
	return exitFailed
}
