package cmd

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A repeated line is shown repeatsShown times within repeatsWithin. Further repetitions become one line at the end of that
// time, with their count, the attributes of the last, and the names of those whose text was not the same in all of them. Two
// lines are the same if their level, their message and their errors are: every error is shown. Of one message, repeatsErrors
// different errors are told apart within repeatsWithin, and what comes after that counts as one more.
const (
	repeatsShown  = 3
	repeatsErrors = 16
	repeatsWithin = 5 * time.Second
	repeatsKept   = 256 // different lines remembered
)

// repeats is a log handler that counts repeated lines instead of showing them.
type repeats struct {
	slog.Handler
	attrs []slog.Attr // those that Handler already has
	all   *repeated
}

// newRepeats returns a handler that passes lines on to next.
func newRepeats(next slog.Handler) repeats {
	return repeats{Handler: next, all: &repeated{lines: map[repeatKey]*repeatLine{}}}
}

// Whole returns a handler that shows every line: netcode/service logs an application's own lines with it.
func (h repeats) Whole() slog.Handler { return h.Handler }

// repeated is the memory of earlier lines that a handler shares with the handlers derived from it.
type repeated struct {
	mu    sync.Mutex
	lines map[repeatKey]*repeatLine
}

type repeatKey struct {
	level   slog.Level
	message string
	errors  string
}

// otherErrors stands for the errors of a message that has more than repeatsErrors of them.
const otherErrors = "\x00"

type repeatLine struct {
	began  time.Time
	shown  int
	held   int
	last   slog.Record       // of those held
	texts  map[string]string // attributes of last that are not numbers
	varies map[string]bool   // attributes that were not the same in all lines held
	by     slog.Handler
}

// Handle implements slog.Handler.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	texts, errors := h.texts(r)
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lineOf(repeatKey{r.Level, r.Message, errors})
	if l.shown < repeatsShown {
		l.shown++
		return h.Handler.Handle(ctx, r)
	}
	if l.held++; l.held == 1 {
		l.varies = map[string]bool{}
		time.AfterFunc(repeatsWithin-time.Since(l.began), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.flush(l)
		})
	} else {
		for name := range texts {
			if texts[name] != l.texts[name] {
				l.varies[name] = true
			}
		}
	}
	l.last, l.texts, l.by = r.Clone(), texts, h.Handler
	return nil
}

// texts returns a line's attributes that are not numbers, and its errors: attributes that are errors, or are named error or panic.
func (h repeats) texts(r slog.Record) (texts map[string]string, errors string) {
	texts = map[string]string{}
	add := func(x slog.Attr) bool {
		v := x.Value.Resolve()
		switch v.Kind() {
		case slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindDuration, slog.KindTime:
			return true
		}
		texts[x.Key] = v.String()
		if _, is := v.Any().(error); is || x.Key == "error" || x.Key == "panic" {
			errors += texts[x.Key] + "\n"
		}
		return true
	}
	for _, x := range h.attrs {
		add(x)
	}
	r.Attrs(add)
	return texts, errors
}

// lineOf returns what is remembered of a line, which is new if its time is over. The caller holds the mutex.
func (a *repeated) lineOf(key repeatKey) *repeatLine {
	l := a.lines[key]
	if l == nil && a.errorsOf(key) >= repeatsErrors {
		key.errors = otherErrors
		l = a.lines[key]
	}
	if l == nil || time.Since(l.began) >= repeatsWithin {
		a.flush(l)
		a.prune()
		l = &repeatLine{began: time.Now()}
		a.lines[key] = l
	}
	return l
}

// errorsOf counts the different errors that a message has within its time. The caller holds the mutex.
func (a *repeated) errorsOf(of repeatKey) (n int) {
	for key, l := range a.lines {
		if key.level == of.level && key.message == of.message && time.Since(l.began) < repeatsWithin {
			n++
		}
	}
	return n
}

// flush shows the repetitions held back for a line. The caller holds the mutex.
func (a *repeated) flush(l *repeatLine) {
	if l == nil || l.held == 0 {
		return
	}
	l.last.AddAttrs(slog.Int("repeated", l.held))
	if len(l.varies) > 0 {
		l.last.AddAttrs(slog.String("varies", strings.Join(slices.Sorted(maps.Keys(l.varies)), " ")))
	}
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
	return repeats{h.Handler.WithAttrs(attrs), append(slices.Clip(h.attrs), attrs...), h.all}
}

// WithGroup implements slog.Handler.
func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.attrs, h.all}
}
