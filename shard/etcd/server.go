package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/ferris1/wind/persistence/taken"
)

// ServerConfig configures an embedded server.
type ServerConfig struct {
	Dir          string        // its data; created if missing
	Port         int           // for clients, on the loopback; 0 picks a free port
	Development  bool          // start in milliseconds and never sync: a crash of the machine may lose keys
	StartTimeout time.Duration // zero: 20 s
	QuotaBytes   int64         // of its keys; zero: 2 GiB
	Logger       *slog.Logger  // nil: slog.Default(). etcd's own log is written only at warning level
}

// Server is an embedded etcd server with one member.
type Server struct {
	etcd  *embed.Etcd
	lock  *flock.Flock
	addr  string
	dir   string
	words *lastWords
	close func()        // the log's file
	quit  chan struct{} // ends work
	work  sync.WaitGroup
}

// closeTimeout bounds the shutdown of a server: after a fault, a blocked goroutine may hold a resource that it waits
// for.
const closeTimeout = 10 * time.Second

// ErrDirInUse reports that another process runs a server on the same directory.
var ErrDirInUse = errors.New("etcd: the directory is in use by another process")

// ErrPortTaken reports that another program listens on the port.
var ErrPortTaken = errors.New("etcd: the port is taken")

// StartServer starts a server and waits until it answers. A second server on the same directory would block without an
// error, so StartServer first locks the directory, and bounds the start.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.StartTimeout <= 0 {
		cfg.StartTimeout = 20 * time.Second
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, "LOCK"))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot lock %s: %w", cfg.Dir, err)
	}
	if !got {
		return nil, fmt.Errorf("%w: %s", ErrDirInUse, cfg.Dir)
	}
	s, err := start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	s.lock = lock
	s.work.Go(func() { reserving(database(cfg.Dir), s.quit) })
	return s, nil
}

// start runs the server under the directory's lock. etcd's own start has no deadline and cannot be cancelled, so it
// runs in a goroutine: the caller gets an answer in time, and a start that succeeds too late is closed again.
func start(ctx context.Context, cfg ServerConfig) (*Server, error) {
	failed := func(err error) (*Server, error) {
		return nil, fmt.Errorf("etcd: cannot start on %s: %w", cfg.Dir, err)
	}
	if err := prove(memberDir(cfg.Dir)); err != nil {
		return nil, err
	}
	s := &Server{dir: cfg.Dir, words: newLastWords(), quit: make(chan struct{})}
	logger, closeLog, err := s.words.logger(filepath.Join(cfg.Dir, "etcd.log"))
	if err != nil {
		return failed(err)
	}
	s.close = closeLog
	begun := make(chan begin, 1)
	go func() {
		e, err := listen(cfg, logger)
		begun <- begin{e, err}
	}()
	timeout := time.NewTimer(cfg.StartTimeout)
	defer timeout.Stop()
	slow := time.NewTimer(slowStart)
	defer slow.Stop()
	var ready <-chan struct{}
	var stopped <-chan struct{}
	var errs <-chan error
	for {
		select {
		case b := <-begun:
			if begun = nil; b.err != nil {
				closeLog()
				if errors.Is(b.err, ErrPortTaken) {
					return nil, b.err
				}
				return failed(b.err)
			}
			s.etcd = b.etcd
			ready, stopped, errs = s.etcd.Server.ReadyNotify(), s.etcd.Server.StopNotify(), s.etcd.Err()
			continue
		case <-ready:
			s.addr = s.etcd.Clients[0].Addr().String()
			return s, nil
		case <-slow.C:
			cfg.Logger.Info("still waiting for the embedded etcd server to start", "dir", cfg.Dir, "log", filepath.Join(cfg.Dir, "etcd.log"))
			continue
		case <-stopped:
			err = errors.New("it stopped")
		case err = <-errs:
		case <-s.words.dead:
			err = s.words.err
		case <-timeout.C:
			err = fmt.Errorf("it was not ready after %s", cfg.StartTimeout)
		case <-ctx.Done():
			err = ctx.Err()
		}
		s.abandon(begun)
		return failed(err)
	}
}

// begin is the result of etcd's start.
type begin struct {
	etcd *embed.Etcd
	err  error
}

// slowStart is how long a start may take before it is logged.
const slowStart = 2 * time.Second

// abandon closes a server that nobody waits for any more, at once or as soon as its start has ended.
func (s *Server) abandon(begun <-chan begin) {
	if begun == nil {
		_ = s.end() // start returns the reason for closing it
		return
	}
	go func() {
		if b := <-begun; b.err == nil {
			b.etcd.Close()
		}
		s.close()
	}()
}

// end closes a server within a bounded time.
func (s *Server) end() error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.etcd.Close()
		s.close()
	}()
	select {
	case <-ended:
		return nil
	case <-s.words.dead:
		return nil // the code that watches Dead reports Err
	case <-time.After(closeTimeout):
		return fmt.Errorf("etcd: the server on %s did not stop within %v", s.dir, closeTimeout)
	}
}

// listen starts a member. For port 0 it picks a free port itself: etcd's JSON gateway, which other languages use, calls
// back to the configured port and cannot reach port 0.
func listen(cfg ServerConfig, logger *zap.Logger) (*embed.Etcd, error) {
	anyPort := cfg.Port == 0
	for attempt := 0; ; attempt++ {
		port, err := probe(cfg.Port)
		if err != nil {
			return nil, err
		}
		if anyPort {
			cfg.Port = port
		}
		e, err := embed.StartEtcd(settings(cfg, logger))
		if err == nil || !anyPort || attempt == 10 || !taken.Port(err) {
			return e, err
		}
		cfg.Port = 0 // another program took the port in between
	}
}

// probe returns a short error if the port is taken, where etcd's own is long. It returns the port, or for port 0 one
// that was free just now.
func probe(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("%w: another program uses 127.0.0.1:%d; stop it or name another port with --etcd-port (0 picks a free one)", ErrPortTaken, port)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// ProbePort returns the error of StartServer if it could not listen on the port.
func ProbePort(port int) error {
	_, err := probe(port)
	return err
}

// settings returns etcd's configuration for a single member on the loopback.
func settings(cfg ServerConfig, logger *zap.Logger) *embed.Config {
	c := embed.NewConfig()
	c.Name = "wind"
	c.Dir = memberDir(cfg.Dir)
	client := url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port))}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.LogLevel, c.ZapLoggerBuilder = "error", embed.NewZapLoggerBuilder(logger)
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "1000"
	c.QuotaBackendBytes = cfg.QuotaBytes
	if cfg.Development {
		c.TickMs, c.ElectionMs = 10, 50
		c.UnsafeNoFsync = true
	}
	return c
}

// Addr returns the host:port for clients.
func (s *Server) Addr() string { return s.addr }

// Dead returns a channel that is closed when the server has given up because of a fault of its own, such as a disk that
// accepts no more writes; Err returns the fault.
func (s *Server) Dead() <-chan struct{} { return s.words.dead }

// Err blocks until Dead is closed and returns why the server has given up.
func (s *Server) Err() error {
	<-s.words.dead
	return fmt.Errorf("etcd: the server on %s has given up: %w", s.dir, s.words.err)
}

// Close stops the server and waits for it, at most for closeTimeout.
func (s *Server) Close() error {
	close(s.quit)
	s.work.Wait()
	return errors.Join(s.end(), s.lock.Unlock())
}

// memberDir returns the directory of the member's files.
func memberDir(dir string) string { return filepath.Join(dir, "member-wind") }
