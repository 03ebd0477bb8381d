package etcd

import (
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lastWords are what an embedded server logs as it gives up. With etcd's own logger that would end the process, with a
// panic or without a word on stderr; here the goroutine that gives up stands still, and the server counts as dead.
type lastWords struct {
	once sync.Once
	dead chan struct{}
	err  error // complete once dead is closed
}

func newLastWords() *lastWords { return &lastWords{dead: make(chan struct{})} }

// OnWrite implements zapcore.CheckWriteHook. It never returns: what follows in the goroutine counts on having died.
func (l *lastWords) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(entry.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Key == "error" {
			err = fmt.Errorf("%s: %w", entry.Message, cause)
		}
	}
	l.once.Do(func() {
		l.err = err
		close(l.dead)
	})
	select {}
}

// logger writes errors to a file, and what is worse to l as well.
func (l *lastWords) logger(path string) (*zap.Logger, func(), error) {
	sink, closeSink, err := zap.Open(path)
	if err != nil {
		return nil, nil, err
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(logutil.DefaultZapLoggerConfig.EncoderConfig), sink, zapcore.ErrorLevel)
	return zap.New(core, zap.AddCaller(), zap.ErrorOutput(sink), zap.WithFatalHook(l), zap.WithPanicHook(l)), closeSink, nil
}
