package jetstream

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// unknownFreeBytes is assumed if the system does not report the free space.
const unknownFreeBytes = 64 << 30

// serverLog forwards nats-server's log and remembers why the server gave up: it reports a fatal error only to its
// logger, and its default logger would exit.
type serverLog struct {
	out    *slog.Logger
	failed func() // called when the server logs a failed write
	mu     sync.Mutex
	cause  error
	muted  bool
}

func newServerLog(out *slog.Logger, failed func()) *serverLog {
	return &serverLog{out: out.With("part", "nats"), failed: failed}
}

// writeFailures are texts that nats-server logs, and reports nowhere else, when one of its stores fails to write. From
// then on that store keeps the error for good, or all of JetStream is switched off.
var writeFailures = []string{
	"critical write error", "failed to store a msg", "no space left", "read-only file system", "out of resources",
	"disabling JetStream", "disk quota exceeded", "input/output error",
}

// watch notifies the keeper of a line about a failed write and reports whether text is one. The keeper logs such a
// failure once, in better words.
func (l *serverLog) watch(text string) bool {
	lower := strings.ToLower(text)
	if !slices.ContainsFunc(writeFailures, func(s string) bool { return strings.Contains(lower, strings.ToLower(s)) }) {
		return false
	}
	l.mu.Lock()
	muted := l.muted
	l.mu.Unlock()
	if !muted {
		l.failed()
	}
	return true
}

// mute ends the watch: a server that is shut down on a full disk complains again.
func (l *serverLog) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Fatalf implements server.Logger.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = fmt.Errorf(format, v...)
	}
}

// Noticef implements server.Logger at level debug.
func (l *serverLog) Noticef(format string, v ...any) { l.out.Debug(fmt.Sprintf(format, v...)) }

// Warnf implements server.Logger. It drops the advice to use bcrypt: our generated passwords are in no file.
func (l *serverLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") {
		return
	}
	text := fmt.Sprintf(format, v...)
	if l.watch(text) {
		l.out.Debug(text)
		return
	}
	l.out.Warn(text)
}

// Errorf implements server.Logger. It hides permission violations: the server reports them to
// the reader that caused them.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if l.watch(text) || strings.Contains(text, " Violation - ") {
		l.out.Debug(text)
		return
	}
	l.out.Error(text)
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.out.Debug(fmt.Sprintf(format, v...)) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(string, ...any) {}
