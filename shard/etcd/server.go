package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/etcd/server/v3/embed"
)

// ServerConfig configures an embedded server.
type ServerConfig struct {
	Dir          string        // its data; made when missing
	Port         int           // for clients, on the loopback; 0 takes any free one
	Development  bool          // start in milliseconds and never sync: a machine's crash may lose keys
	StartTimeout time.Duration // zero: 20 s
	Logger       *slog.Logger  // nil: silent. etcd's own log is written only at warning level
}

// Server is an embedded etcd server with one member.
type Server struct {
	etcd *embed.Etcd
	lock *flock.Flock
	addr string
}

// ErrDirInUse says that another process runs a server on the same directory.
var ErrDirInUse = errors.New("etcd: the directory is in use by another process")

// ErrPortTaken says that something else listens there.
var ErrPortTaken = errors.New("etcd: the port is taken")

// StartServer starts a server and waits until it answers. A second server on the same directory
// would block without an error, so the directory is locked first and the start has a time-out.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
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
	return s, nil
}

// start runs the server under the directory's lock.
func start(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if err := prove(settings(cfg).Dir); err != nil {
		return nil, err
	}
	e, err := listen(cfg)
	if errors.Is(err, ErrPortTaken) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot start on %s: %w", cfg.Dir, err)
	}
	timeout := time.NewTimer(cfg.StartTimeout)
	defer timeout.Stop()
	select {
	case <-e.Server.ReadyNotify():
		return &Server{etcd: e, addr: e.Clients[0].Addr().String()}, nil
	case <-e.Server.StopNotify():
		err = errors.New("it stopped")
	case err = <-e.Err():
	case <-timeout.C:
		err = fmt.Errorf("it was not ready after %s", cfg.StartTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	return nil, fmt.Errorf("etcd: cannot start on %s: %w", cfg.Dir, err)
}

// listen starts a member. Any free port is one that is chosen here: etcd's JSON gateway, through which other languages
// come, calls back to the configured port and cannot reach port 0.
func listen(cfg ServerConfig) (*embed.Etcd, error) {
	anyPort := cfg.Port == 0
	for attempt := 0; ; attempt++ {
		port, err := probe(cfg.Port)
		if err != nil {
			return nil, err
		}
		if anyPort {
			cfg.Port = port
		}
		e, err := embed.StartEtcd(settings(cfg))
		if err == nil || !anyPort || attempt == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			return e, err
		}
		cfg.Port = 0 // somebody took it in between
	}
}

// probe says clearly what etcd would say at length. It returns the port, which for 0 is one that was free just now.
func probe(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("%w: 127.0.0.1:%d: %w", ErrPortTaken, port, err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// settings is etcd's configuration for a single member on the loopback.
func settings(cfg ServerConfig) *embed.Config {
	c := embed.NewConfig()
	c.Name = "wind"
	c.Dir = filepath.Join(cfg.Dir, "member-wind")
	client := url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port))}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.LogLevel = "error"
	c.LogOutputs = []string{filepath.Join(cfg.Dir, "etcd.log")}
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "1000"
	if cfg.Development {
		c.TickMs, c.ElectionMs = 10, 50
		c.UnsafeNoFsync = true
	}
	return c
}

// Addr returns host:port for clients.
func (s *Server) Addr() string { return s.addr }

// Close stops the server and waits for it.
func (s *Server) Close() error {
	s.etcd.Close()
	return s.lock.Unlock()
}
