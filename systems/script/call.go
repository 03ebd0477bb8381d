package script

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"
)

// Call calls fn with a budget of steps, 0 for no limit. It returns an *Error if fn fails; its Unwrap returns the error
// of the builtin that failed. A panic in a builtin becomes an error too. The thread belongs to the call until it
// returns; do not use it again after an error.
func Call(thread *starlark.Thread, fn starlark.Callable, budget uint64, args ...starlark.Value) (v starlark.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("script: %s panics: %v", fn.Name(), r)
		}
	}()
	spent := &allowance{}
	if budget > 0 {
		spent = limit(thread, thread.ExecutionSteps()+budget)
	}
	v, err = starlark.Call(thread, fn, args, nil)
	if err == nil {
		return v, nil
	}
	e := evalErrorOf(err)
	if spent.spent {
		if e.In != fn.Name() {
			e.Text = fmt.Sprintf("(in %s) used more than %d steps", e.In, budget)
		} else {
			e.Text = fmt.Sprintf("used more than %d steps", budget)
		}
		e.In, e.Budget = fn.Name(), true
	}
	return nil, e
}

// limit ends the run in thread once the thread has taken steps steps in its life, and records that it did.
func limit(thread *starlark.Thread, steps uint64) *allowance {
	a := &allowance{limit: steps}
	thread.SetLocal(allowanceKey, a)
	thread.SetMaxExecutionSteps(steps)
	thread.OnMaxSteps = func(t *starlark.Thread) {
		a.spent = true
		t.Cancel("too many steps")
	}
	return a
}

// evalErrorOf returns err as an Error, whatever its type.
func evalErrorOf(err error) *Error {
	var thrown *starlark.EvalError
	if errors.As(err, &thrown) {
		return evalError(thrown)
	}
	return &Error{Text: oneLine(err.Error()), cause: err}
}
