package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard/etcd"
)

// Default ports of the embedded servers. If one is taken, any free port is used.
const (
	DefaultNATSPort = 4222
	DefaultEtcdPort = 2379
)

// startLimit bounds the start of an embedded NATS server, which reads a large store after an unclean stop.
const startLimit = 5 * time.Minute

// nodeUser is the user name of other nodes on the embedded NATS server. Clients without credentials are read-only.
const nodeUser = "node"

// StoreDir returns the folder of JetStream's store in a data directory.
func StoreDir(data string) string { return filepath.Join(data, "nats") }

// AnyPort requests any free port.
const AnyPort = -1

// Embedded contains the user's settings for embedded servers. Ports are on the loopback.
type Embedded struct {
	NATSPort   int  // 0: 4222, or any free port if that is taken
	EtcdPort   int  // 0: 2379, or any free port if that is taken
	SyncAlways bool // NATS syncs to the disk before each acknowledgement instead of every 2 minutes
}

// InfraConfig configures embedded servers.
type InfraConfig struct {
	Embedded
	Data     *Data
	Fast     bool          // etcd starts in milliseconds and never syncs: a power loss may lose leases and epochs, which the logs restore
	Patience time.Duration // how long OpenInfra waits for room on a full disk; 0: forever
	Logger   *slog.Logger  // nil: slog.Default()
}

// Infra are NATS and etcd servers in this process.
type Infra struct {
	NATS *jetstream.Server
	Etcd *etcd.Server
	url  string
	urls string // path of the file with the servers' URLs, for other verbs
}

// StartInfra proves that the store is intact, then starts both servers on it. It refuses a store in which a shard with
// streams of its own lost history, and leaves it unchanged. A room that lost history is halted; the others go on.
func StartInfra(ctx context.Context, c InfraConfig) (*Infra, error) {
	states, err := jetstream.CheckStore(ctx, c.Data.NATS())
	if err != nil {
		return nil, err
	}
	password, err := nodePassword(c.Data.Dir)
	if err != nil {
		return nil, err
	}
	config := jetstream.ServerConfig{Dir: c.Data.NATS(), Port: c.NATSPort, User: nodeUser, Password: password, SyncAlways: c.SyncAlways, Logger: c.Logger}
	i := &Infra{urls: urlsPath(c.Data.Dir)}
	if i.NATS, err = onPort(c.NATSPort, DefaultNATSPort, jetstream.ErrPortTaken, func(port int) (*jetstream.Server, error) {
		config.Port = port
		return wait.Call(ctx, wait.NATS, startLimit, "start the embedded server on "+config.Dir, func() (*jetstream.Server, error) { return jetstream.StartServer(config) }, (*jetstream.Server).Close)
	}); err != nil {
		return nil, err
	}
	if i.Etcd, err = onPort(c.EtcdPort, DefaultEtcdPort, etcd.ErrPortTaken, func(port int) (*etcd.Server, error) {
		return etcd.StartServer(ctx, etcd.ServerConfig{Dir: c.Data.Etcd(), Port: port, Development: c.Fast, Logger: c.Logger})
	}); err != nil {
		i.NATS.Close()
		return nil, err
	}
	if err := haltDamaged(ctx, states, i.EtcdURL(), cmp.Or(c.Logger, slog.Default())); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	i.url = fmt.Sprintf("nats://%s:%s@%s", nodeUser, password, i.NATS.Addr())
	if err := writeURLs(i.urls, URLs{NATS: i.NATSURL(), Etcd: i.EtcdURL()}); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// onPort starts on the given port. Without one, it starts on the usual port or, if that is taken, on any free one.
func onPort[S any](given, usual int, taken error, start func(port int) (S, error)) (S, error) {
	if given != 0 {
		return start(max(given, 0))
	}
	s, err := start(usual)
	if errors.Is(err, taken) {
		return start(0)
	}
	return s, err
}

// NATSURL returns the URL of the NATS server, with the credentials of a node.
func (i *Infra) NATSURL() string { return i.url }

// ReaderURL returns the URL of the NATS server for read-only clients.
func (i *Infra) ReaderURL() string { return "nats://" + i.NATS.Addr() }

// EtcdURL returns the URL of the etcd server.
func (i *Infra) EtcdURL() string { return "http://" + strings.TrimPrefix(i.Etcd.Addr(), "http://") }

// Close stops both servers.
func (i *Infra) Close() error {
	_ = os.Remove(i.urls) // a file that remains would name servers that have stopped
	err := i.Etcd.Close()
	i.NATS.Close()
	return err
}

// nodePassword returns the nodes' password. It is created once per data directory, so that their URL stays the same.
func nodePassword(dir string) (string, error) {
	path := filepath.Join(dir, "node-password")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read the nodes' password: %w", err)
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password+"\n"), 0o600)
}
