package jetstream

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// unknownFreeBytes is assumed where the system does not say.
const unknownFreeBytes = 64 << 30

// serverLog hands nats-server's log on, and remembers why it gave up: it
// reports a fatal fault nowhere else, and with its own logger would exit.
type serverLog struct {
	out    *slog.Logger
	failed func() // the server said that it could not write
	mu     sync.Mutex
	cause  error
	muted  bool
}

func newServerLog(out *slog.Logger, failed func()) *serverLog {
	if out == nil {
		out = slog.Default()
	}
	return &serverLog{out: out.With("part", "nats"), failed: failed}
}

// writeFailures are what nats-server says, and says nowhere else, when a store
// of its has failed to write. From then on that store keeps the error for good,
// or all of JetStream is switched off.
var writeFailures = []string{
	"critical write error", "failed to store a msg", "no space left", "read-only file system", "out of resources",
	"disabling JetStream", "disk quota exceeded", "input/output error",
}

// watch tells the keeper when the server speaks of a failed write. It reports
// whether the line is one of those: the keeper says it better, and once.
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

// mute ends the watch: a server that is shut down on a full disk complains once more.
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

// Noticef implements server.Logger; its notices are our details.
func (l *serverLog) Noticef(format string, v ...any) { l.out.Debug(fmt.Sprintf(format, v...)) }

// Warnf implements server.Logger. That our generated passwords stand in no file
// and need no bcrypt is known.
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

// Errorf implements server.Logger. What a reader may not do is his error, and
// he is told.
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
