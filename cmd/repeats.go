package cmd

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A line that comes again and again is shown repeatsShown times within repeatsWithin; the rest of that time's are one line
// at its end, with their count. Lines are the same when their level and message are; their attributes are the last one's.
const (
	repeatsShown  = 3
	repeatsWithin = 5 * time.Second
	repeatsKept   = 256 // different lines that are remembered
)

// repeats is a log handler that counts lines which repeat.
type repeats struct {
	slog.Handler
	all *repeated
}

// newRepeats returns a handler before next, which shows lines.
func newRepeats(next slog.Handler) repeats {
	return repeats{next, &repeated{lines: map[repeatKey]*repeatLine{}}}
}

// repeated is what a handler, and those made of it, remember of the lines before.
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

// flush shows what was held back of a line. The mutex is held.
func (a *repeated) flush(l *repeatLine) {
	if l == nil || l.held == 0 {
		return
	}
	l.last.AddAttrs(slog.Int("repeated", l.held))
	_ = l.by.Handle(context.Background(), l.last) // there is nobody to tell
	l.held = 0
}

// close shows what is held back.
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

// prune forgets lines of which nothing is held back, when there are many.
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
