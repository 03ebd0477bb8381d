package jetstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	startTimeout = 60 * time.Second // a large store without a clean index is read whole
	maxPayload   = 8 << 20          // bytes of one message; NATS advises against more
	lockFile     = "LOCK"
)

// ErrInUse is what StartServer wraps when another process has the directory.
var ErrInUse = errors.New("in use by another process")

// ErrPortTaken is what StartServer wraps when the port is not free.
var ErrPortTaken = errors.New("port already taken")

// ServerConfig is what an embedded server needs. Only Dir has no default.
type ServerConfig struct {
	Dir  string // the store; made when missing; one process at a time
	Port int    // on 127.0.0.1; 0 takes any free one, -1 listens nowhere

	// User and Password give all rights to clients of the port that present
	// them. Without them the port's clients are all read-only.
	User, Password string

	MaxBytes   int64 // limit of everything stored; 0: what is stored now and three quarters of the free disk
	SyncAlways bool  // fsync before every acknowledgement: survives a power loss, costs about a millisecond

	Logger *slog.Logger // nil: warnings and errors to slog.Default()

	unguarded bool // tests of how a damaged store that is not ours reads
}

// Server is a NATS server with JetStream inside this process. Its methods may
// be called concurrently.
type Server struct {
	ns       *server.Server
	gate     *gate // nil when nobody else can connect
	doorman  doorman
	lock     *flock.Flock
	dir      string
	maxBytes int64
	started  time.Time
	log      *serverLog
	close    sync.Once
}

// StartServer starts a server on c.Dir and returns when it and its JetStream
// answer. Run CheckStore first: opening a damaged store can destroy evidence.
// What is damaged in a delta stream or in the snapshots is set aside before the
// server sees it, and said as a warning; other damage is a *DamagedStreamError.
// It wraps ErrInUse and ErrPortTaken where they are the reason.
func StartServer(c ServerConfig) (*Server, error) {
	if c.Dir == "" {
		return nil, errors.New("jetstream: a server needs a directory")
	}
	if (c.User == "") != (c.Password == "") || c.User == ownUser {
		return nil, fmt.Errorf("jetstream: the node user needs a name other than %q, and a password", ownUser)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: cannot make the store directory: %w", err)
	}
	lock, err := lockStore(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, dir: c.Dir, maxBytes: c.MaxBytes, started: time.Now(), log: newServerLog(c.Logger)}
	s.doorman = doorman{own: rand.Text(), user: c.User, password: c.Password}
	if err := s.start(c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lockStore takes the directory for this process; nats-server itself would
// let two servers write into one.
func lockStore(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, lockFile))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot lock the store directory %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("jetstream: store directory %s is %w: stop that one or choose another directory", dir, ErrInUse)
	}
	return lock, nil
}

func (s *Server) start(c ServerConfig) error {
	if s.maxBytes <= 0 {
		used, err := dirBytes(c.Dir)
		if err != nil {
			return fmt.Errorf("jetstream: cannot read the store directory: %w", err)
		}
		s.maxBytes = used + freeBytes(c.Dir)/4*3
	}
	if c.Port > 0 {
		if err := probePort(c.Port); err != nil {
			return err
		}
	}
	if err := s.guard(c); err != nil {
		return err
	}
	ns, err := server.NewServer(s.options(c))
	if err != nil {
		return fmt.Errorf("jetstream: the server refuses its configuration: %w", err)
	}
	s.ns = ns
	ns.SetLoggerV2(s.log, false, false, false)
	ns.Start()
	if err := s.log.fatal(); err != nil {
		if strings.Contains(err.Error(), "address already in use") { // since the probe; the server logs it as text
			return fmt.Errorf("jetstream: %w: 127.0.0.1:%d is used by another program; stop it or choose another port (0 takes any free one)", ErrPortTaken, c.Port)
		}
		return fmt.Errorf("jetstream: the server on %s does not start: %w", c.Dir, err)
	}
	if !ns.ReadyForConnections(startTimeout) || !ns.JetStreamEnabled() {
		return fmt.Errorf("jetstream: the server on %s was not ready after %v", c.Dir, startTimeout)
	}
	if c.Port < 0 {
		return nil
	}
	s.gate, err = openGate(s)
	return err
}

// guard keeps damage from the server, and says what it set aside for that.
func (s *Server) guard(c ServerConfig) error {
	if c.unguarded {
		return nil
	}
	aside, err := guardStore(c.Dir)
	for _, a := range aside {
		s.log.out.Warn("damage in the store: " + a.String())
	}
	return err
}

func (s *Server) options(c ServerConfig) *server.Options {
	o := &server.Options{
		ServerName: "wind", Host: "127.0.0.1", Port: c.Port, DontListen: c.Port < 0,
		NoSigs: true, JetStream: true, StoreDir: c.Dir, DisableJetStreamBanner: true,
		JetStreamMaxStore: s.maxBytes, SyncAlways: c.SyncAlways,
		MaxPayload: maxPayload, CustomClientAuthentication: &s.doorman,
	}
	if c.Port <= 0 {
		o.Port = server.RANDOM_PORT
	}
	return o
}

// Addr is where the server listens, "127.0.0.1:4222", or "" when nowhere.
func (s *Server) Addr() string {
	if a := s.ns.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// Dir is the directory that the server stores in.
func (s *Server) Dir() string { return s.dir }

// MaxBytes is the limit of everything stored.
func (s *Server) MaxBytes() int64 { return s.maxBytes }

// Connect opens an in-process connection with all rights.
func (s *Server) Connect(ctx context.Context) (*Conn, error) {
	c, err := connect(ctx, "", nats.InProcessServer(s.ns), nats.UserInfo(ownUser, s.doorman.own))
	if err == nil {
		c.dir, c.maxBytes, c.started, c.log = s.dir, s.maxBytes, s.started, s.log.out
	}
	return c, err
}

// Close stops the server, writes its index and gives the directory free. Close
// the connections first. It may be called twice.
func (s *Server) Close() {
	s.close.Do(func() {
		if s.gate != nil {
			s.gate.close()
		}
		if s.ns != nil {
			s.ns.Shutdown()
			s.ns.WaitForShutdown()
		}
		_ = s.lock.Unlock() // the process's end unlocks as well
	})
}

// probePort says in one sentence what nats-server would only log.
func probePort(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("jetstream: %w: 127.0.0.1:%d is used by another program; stop it or choose another port (0 takes any free one)", ErrPortTaken, port)
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot listen on 127.0.0.1:%d: %w", port, err)
	}
	return l.Close()
}

// dirBytes sums the sizes of the files below dir.
func dirBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			sum += i.Size()
		}
		return err
	})
	return sum, err
}
