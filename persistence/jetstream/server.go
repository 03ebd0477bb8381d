package jetstream

import (
	"cmp"
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
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence/taken"
)

const (
	startTimeout = 60 * time.Second // the server reads a large store without a clean index whole
	maxPayload   = 8 << 20          // bytes of one message; NATS advises against more
	lockFile     = "LOCK"
)

// ErrInUse reports that another process uses the directory. StartServer wraps it.
var ErrInUse = errors.New("in use by another process")

// ErrPortTaken reports that the port is not free. StartServer wraps it.
var ErrPortTaken = errors.New("port already taken")

// ServerConfig configures an embedded server. Only Dir has no default.
type ServerConfig struct {
	Dir  string // the store; created if missing; one process at a time
	Port int    // on 127.0.0.1; 0 picks a free port, -1 does not listen

	// Clients of the port that present User and Password get all rights. If both are empty, all clients of the port are
	// read-only.
	User, Password string

	MaxBytes   int64 // limit of everything stored; 0: the current size plus three quarters of the free disk
	SyncAlways bool  // fsync before every acknowledgement: survives a power loss, costs about a millisecond

	Logger *slog.Logger // nil: slog.Default(). NATS's own notices have level debug

	unguarded bool // skip guardStore: the store is a copy, or a test's
}

// Server is a NATS server with JetStream inside this process. Its methods may
// be called concurrently.
type Server struct {
	config   ServerConfig
	doorman  doorman
	lock     *flock.Flock
	maxBytes int64
	started  time.Time
	keeper   *keeper

	mu      sync.Mutex // guards what follows
	tables  map[string]*markTable
	running *running // nil while the server restarts; what a restart replaces
	addr    string   // where the server listens; a restart keeps it
	close   sync.Once
}

// running is the server between two restarts.
type running struct {
	ns   *server.Server
	gate *gate // nil if the server does not listen
	log  *serverLog
}

// StartServer starts a server on c.Dir and returns when it and its JetStream answer. Run CheckStore first: opening a
// damaged store can destroy evidence. StartServer moves damage to a delta stream or to the snapshots aside before the
// server sees it, and logs a warning; for other damage it returns a *DamagedStreamError. The error wraps ErrInUse or
// ErrPortTaken if that is the reason.
func StartServer(c ServerConfig) (*Server, error) {
	if c.Dir == "" {
		return nil, errors.New("jetstream: a server needs a directory")
	}
	if (c.User == "") != (c.Password == "") || c.User == ownUser {
		return nil, fmt.Errorf("jetstream: the node user needs a password and a name other than %q", ownUser)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: cannot make the store directory: %w", err)
	}
	lock, err := lockStore(c.Dir)
	if err != nil {
		return nil, err
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	s := &Server{config: c, lock: lock, maxBytes: c.MaxBytes, started: time.Now()}
	s.doorman = doorman{own: rand.Text(), user: c.User, password: c.Password}
	s.keeper = newKeeper(s)
	if err := s.start(); err != nil {
		_ = s.lock.Unlock()
		return nil, err
	}
	s.keeper.begin()
	return s, nil
}

// lockStore locks the directory for this process. nats-server itself would allow two servers to write into one.
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

// start starts the server, for the first time or after halt.
func (s *Server) start() error {
	dir := s.config.Dir
	if s.maxBytes <= 0 {
		used, err := dirBytes(dir)
		if err != nil {
			return fmt.Errorf("jetstream: cannot read the store directory: %w", err)
		}
		s.maxBytes = used + freeBytes(dir)/4*3
	}
	port := s.port()
	if port > 0 {
		if err := ProbePort(port); err != nil {
			return err
		}
	}
	if err := s.guard(); err != nil {
		return err
	}
	r := &running{log: newServerLog(s.config.Logger, s.keeper.failed)}
	if err := r.start(s, port); err != nil {
		r.stop()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = r
	if a := r.ns.Addr(); a != nil {
		s.addr = a.String()
	}
	return nil
}

// port returns the port to listen on: the same as before a restart.
func (s *Server) port() int {
	if _, port, err := net.SplitHostPort(s.Addr()); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			return n
		}
	}
	return s.config.Port
}

func (r *running) start(s *Server, port int) (err error) {
	dir := s.config.Dir
	if r.ns, err = server.NewServer(s.options(port)); err != nil {
		return fmt.Errorf("jetstream: the server refuses its configuration: %w", err)
	}
	r.ns.SetLoggerV2(r.log, false, false, false)
	r.ns.Start()
	if err := r.log.fatal(); err != nil {
		if taken.Said(err.Error()) { // since the probe; the server logs it as text
			return fmt.Errorf("jetstream: %w: 127.0.0.1:%d is used by another program; stop it or name another port with --nats-port (0 picks a free one)", ErrPortTaken, port)
		}
		if full := CheckDisk(dir, 0); full != nil {
			return full
		}
		return fmt.Errorf("jetstream: the server on %s does not start: %w", dir, err)
	}
	if !r.ns.ReadyForConnections(startTimeout) || !r.ns.JetStreamEnabled() {
		if full := CheckDisk(dir, 0); full != nil {
			return full
		}
		return fmt.Errorf("jetstream: the server on %s was not ready after %v", dir, startTimeout)
	}
	if port < 0 {
		return nil
	}
	r.gate, err = openGate(r.ns, &s.doorman)
	return err
}

// stop stops the server and waits until the store's files are closed.
func (r *running) stop() {
	r.log.mute()
	if r.gate != nil {
		r.gate.close()
	}
	if r.ns != nil {
		r.ns.Shutdown()
		r.ns.WaitForShutdown()
	}
}

// guard keeps damage from the server and logs what it moved aside.
func (s *Server) guard() error {
	if s.config.unguarded {
		return nil
	}
	aside, err := guardStore(s.config.Dir)
	for _, a := range aside {
		s.config.Logger.Warn("damage in the store: " + a.String())
	}
	return err
}

func (s *Server) options(port int) *server.Options {
	o := &server.Options{
		ServerName: "wind", Host: "127.0.0.1", Port: port, DontListen: port < 0,
		NoSigs: true, JetStream: true, StoreDir: s.config.Dir, DisableJetStreamBanner: true,
		JetStreamMaxStore: s.maxBytes, SyncAlways: s.config.SyncAlways,
		MaxPayload: maxPayload, CustomClientAuthentication: &s.doorman,
	}
	if port <= 0 {
		o.Port = server.RANDOM_PORT
	}
	return o
}

// Addr returns the address where the server listens, such as "127.0.0.1:4222", or "" if it does not listen.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Dir returns the directory of the store.
func (s *Server) Dir() string { return s.config.Dir }

// MaxBytes returns the limit of everything stored, in bytes.
func (s *Server) MaxBytes() int64 { return s.maxBytes }

// Connect opens an in-process connection with all rights. It survives a restart of the server in place, as a network
// connection would.
func (s *Server) Connect(ctx context.Context) (*Conn, error) {
	c, err := connect(ctx, "", nats.InProcessServer(inside{s}), nats.UserInfo(ownUser, s.doorman.own))
	if err == nil {
		c.server, c.dir, c.maxBytes, c.started, c.logger = s, s.config.Dir, s.maxBytes, s.started, s.config.Logger
	}
	return c, err
}

// inside connects to the server that runs now.
type inside struct{ s *Server }

// errRestarting reports an attempt to connect during a restart of the server.
var errRestarting = errors.New("jetstream: the server is being restarted")

// InProcessConn implements nats.InProcessConnProvider.
func (i inside) InProcessConn() (net.Conn, error) {
	i.s.mu.Lock()
	r := i.s.running
	i.s.mu.Unlock()
	if r == nil {
		return nil, errRestarting
	}
	return r.ns.InProcessConn()
}

// Close stops the server, writes its index and unlocks the directory. Close the connections first. Close may be called
// twice.
func (s *Server) Close() {
	s.close.Do(func() {
		s.keeper.end()
		s.halt()
		for _, t := range s.tables {
			_ = t.f.Close()
		}
		_ = s.lock.Unlock() // ending the process unlocks as well
	})
}

// halt stops the server if it runs.
func (s *Server) halt() {
	s.mu.Lock()
	r := s.running
	s.running = nil
	s.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// ProbePort returns an error if StartServer could not listen on the port: one sentence, which nats-server would only log.
func ProbePort(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if taken.Port(err) {
		return fmt.Errorf("jetstream: %w: 127.0.0.1:%d is used by another program; stop it or name another port with --nats-port (0 picks a free one)", ErrPortTaken, port)
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
