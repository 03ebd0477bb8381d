package etcd

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// etcd ends its process when it cannot write. On a full disk it need not come to that: its write-ahead log has two
// segments that are set aside, and the database gets reserveBytes more than it uses while there is room. Both together
// last longer than a day at what a shard's notes write.
const (
	segmentBytes = 16 << 20 // of the write-ahead log; etcd's own 64 MB are for clusters that write all the time
	reserveBytes = 8 << 20
	reserveEvery = 10 * time.Second
)

func init() { wal.SegmentSizeBytes = segmentBytes }

// reserving keeps the reserve of the database until quit is closed. It is best effort: a file system that sets nothing
// aside, and one that has no room left, change nothing.
func reserving(db string, quit <-chan struct{}) {
	for {
		reserve(db)
		select {
		case <-quit:
			return
		case <-time.After(reserveEvery):
		}
	}
}

func reserve(db string) {
	f, err := os.OpenFile(db, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		setAside(f, info.Size()+reserveBytes)
	}
}

// database is the file of a member's keys.
func database(c *embed.Config) string { return filepath.Join(c.Dir, "member", "snap", "db") }

// openLog opens etcd's log file and makes the logger that writes it; what etcd says before it ends the process goes to our
// own log as well. The file stays open until it is closed.
func openLog(c *embed.Config, dir string, log *slog.Logger) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "etcd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot write its log: %w", err)
	}
	out := zapcore.Lock(f)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(logutil.DefaultZapLoggerConfig.EncoderConfig), out, zap.ErrorLevel)
	lg := zap.New(core, zap.AddCaller(), zap.AddStacktrace(zap.ErrorLevel), zap.ErrorOutput(out), zap.WithFatalHook(fatal{c.Dir, log}))
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)
	return f, nil
}

// fatal is the end of the process, with a reason.
type fatal struct {
	dir string
	log *slog.Logger
}

// OnWrite implements zapcore.CheckWriteHook.
func (f fatal) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	why := e.Message
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok {
			why += ": " + err.Error()
		}
	}
	if f.log != nil {
		f.log.Error("the embedded etcd cannot go on and ends this process; nothing that was released is lost: see to its disk, then start again", "dir", f.dir, "reason", why)
	}
	os.Exit(1)
}
