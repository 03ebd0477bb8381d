package cmd

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A repeated line is shown repeatsShown times within repeatsWithin. Further repetitions become one line at the end of that
// time, with their count and the attributes of the last. Two lines are the same if their level and message are.
const (
	repeatsShown  = 3
	repeatsWithin = 5 * time.Second
	repeatsKept   = 256 // different lines remembered
)

// repeats is a log handler that counts repeated lines instead of showing them.
type repeats struct {
	slog.Handler
	all *repeated
}

// newRepeats returns a handler that passes lines on to next.
func newRepeats(next slog.Handler) repeats {
	return repeats{next, &repeated{lines: map[repeatKey]*repeatLine{}}}
}

// repeated is the memory of earlier lines that a handler shares with the handlers derived from it.
type repeated struct {
	mu    sync.Mutex
	lines map[repeatKey]*repeatLine
}

type repeatKey struct {
	level   slog.Level
	message string
}

type repeatLine struct {
	began time.Time
	shown int
	held  int
	last  slog.Record // of those held
	by    slog.Handler
}

// Handle implements slog.Handler.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	key := repeatKey{r.Level, r.Message}
	l := a.lines[key]
	if l == nil || time.Since(l.began) >= repeatsWithin {
		a.flush(l)
		a.prune()
		l = &repeatLine{began: time.Now()}
		a.lines[key] = l
	}
	if l.shown < repeatsShown {
		l.shown++
		return h.Handler.Handle(ctx, r)
	}
	if l.held++; l.held == 1 {
		time.AfterFunc(repeatsWithin-time.Since(l.began), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.flush(l)
		})
	}
	l.last, l.by = r.Clone(), h.Handler
	return nil
}

// flush shows the repetitions held back for a line. The caller holds the mutex.
func (a *repeated) flush(l *repeatLine) {
	if l == nil || l.held == 0 {
		return
	}
	l.last.AddAttrs(slog.Int("repeated", l.held))
	_ = l.by.Handle(context.Background(), l.last) // no one could see the error
	l.held = 0
}

// close shows everything held back.
func (h repeats) close() {
	a := h.all
	if a == nil {
		return // the call was wrong: nothing was logged
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lines {
		a.flush(l)
	}
}

// prune forgets lines with nothing held back, once there are repeatsKept lines. The caller holds the mutex.
func (a *repeated) prune() {
	if len(a.lines) < repeatsKept {
		return
	}
	for key, l := range a.lines {
		if l.held == 0 {
			delete(a.lines, key)
		}
	}
}

// WithAttrs implements slog.Handler.
func (h repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeats{h.Handler.WithAttrs(attrs), h.all}
}

// WithGroup implements slog.Handler.
func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.all}
}
