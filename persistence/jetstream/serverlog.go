package jetstream

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// unknownFreeBytes is assumed where the system does not say.
const unknownFreeBytes = 64 << 30

// serverLog hands nats-server's log on, and remembers why it gave up: it
// reports a fatal fault nowhere else, and with its own logger would exit.
type serverLog struct {
	out   *slog.Logger
	mu    sync.Mutex
	cause error
}

func newServerLog(out *slog.Logger) *serverLog {
	if out == nil {
		out = slog.Default()
	}
	return &serverLog{out: out.With("part", "nats")}
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
	if !strings.HasPrefix(format, "Plaintext passwords") {
		l.out.Warn(fmt.Sprintf(format, v...))
	}
}

// Errorf implements server.Logger. What a reader may not do is his error, and
// he is told.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, " Violation - ") {
		l.out.Debug(text)
		return
	}
	l.out.Error(text)
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.out.Debug(fmt.Sprintf(format, v...)) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(string, ...any) {}
