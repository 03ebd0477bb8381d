package node

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/ferris1/wind/ecs"
)

// contained calls f, which calls fn, a function of the game. If that panics, contained returns an error that begins with what.
// The trace goes to the debug log.
func contained(logger *slog.Logger, what string, fn any, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", what, r)
			if place := ecs.PanicPlace(r, fn); place != "" {
				err = fmt.Errorf("%w, in %s", err, place)
			}
			logger.Debug("a function of the game panicked", "error", err, "stack", string(debug.Stack()))
		}
	}()
	return f()
}
