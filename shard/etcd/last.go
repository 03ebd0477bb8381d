package etcd

import (
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lastWords captures what an embedded server logs when it gives up. etcd's own logger would then end the process, with
// a panic or without a message on stderr. This one blocks the goroutine that gives up, and the server counts as dead.
type lastWords struct {
	once sync.Once
	dead chan struct{}
	err  error // complete once dead is closed
}

func newLastWords() *lastWords { return &lastWords{dead: make(chan struct{})} }

// OnWrite implements zapcore.CheckWriteHook. It never returns: the code behind the log call assumes that the process
// has ended.
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

// logger returns a logger that writes errors to a file and passes panics and fatal errors to l.
func (l *lastWords) logger(path string) (*zap.Logger, func(), error) {
	sink, closeSink, err := zap.Open(path)
	if err != nil {
		return nil, nil, err
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(logutil.DefaultZapLoggerConfig.EncoderConfig), sink, zapcore.ErrorLevel)
	return zap.New(core, zap.AddCaller(), zap.ErrorOutput(sink), zap.WithFatalHook(l), zap.WithPanicHook(l)), closeSink, nil
}
