package node

import (
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

// Ports of the embedded servers when they are free; else any.
const (
	DefaultNATSPort = 4222
	DefaultEtcdPort = 2379
)

// startLimit bounds the start of an embedded NATS server, which reads a large store that was not left cleanly.
const startLimit = 5 * time.Minute

// nodeUser is who other nodes are to the embedded NATS server; without credentials its clients may only look.
const nodeUser = "node"

// StoreDir is the folder of JetStream's store in a data directory.
func StoreDir(data string) string { return filepath.Join(data, "nats") }

// AnyPort stands for any port that is free.
const AnyPort = -1

// Embedded is what somebody chose for embedded servers. Ports are on the loopback.
type Embedded struct {
	NATSPort   int  // 0: 4222, or any when that is taken
	EtcdPort   int  // 0: 2379, or any when that is taken
	SyncAlways bool // NATS syncs to the disk before each acknowledgement, not every 2 minutes
}

// InfraConfig says where embedded servers store and listen.
type InfraConfig struct {
	Embedded
	Data     *Data
	Fast     bool          // etcd starts in milliseconds and never syncs: a power loss may cost leases and epochs, which the logs make good
	Patience time.Duration // how long OpenInfra waits for room on a full disk; 0: without an end
	Log      *slog.Logger  // nil: slog.Default()
}

// Infra are NATS and etcd servers in this process.
type Infra struct {
	NATS *jetstream.Server
	Etcd *etcd.Server
	url  string
	urls string // file that tells other verbs where the servers are
}

// StartInfra proves that the store is what it was, then starts both servers on it. A store that lost history is
// refused and stays as it is.
func StartInfra(ctx context.Context, c InfraConfig) (*Infra, error) {
	if _, err := jetstream.CheckStore(ctx, c.Data.NATS()); err != nil {
		return nil, err
	}
	password, err := nodePassword(c.Data.Dir)
	if err != nil {
		return nil, err
	}
	config := jetstream.ServerConfig{Dir: c.Data.NATS(), Port: c.NATSPort, User: nodeUser, Password: password, SyncAlways: c.SyncAlways, Logger: c.Log}
	i := &Infra{urls: urlsPath(c.Data.Dir)}
	if i.NATS, err = onPort(c.NATSPort, DefaultNATSPort, jetstream.ErrPortTaken, func(port int) (*jetstream.Server, error) {
		config.Port = port
		return wait.Call(ctx, wait.NATS, startLimit, "the embedded server on "+config.Dir, func() (*jetstream.Server, error) { return jetstream.StartServer(config) }, (*jetstream.Server).Close)
	}); err != nil {
		return nil, err
	}
	if i.Etcd, err = onPort(c.EtcdPort, DefaultEtcdPort, etcd.ErrPortTaken, func(port int) (*etcd.Server, error) {
		return etcd.StartServer(ctx, etcd.ServerConfig{Dir: c.Data.Etcd(), Port: port, Development: c.Fast, Logger: c.Log})
	}); err != nil {
		i.NATS.Close()
		return nil, err
	}
	i.url = fmt.Sprintf("nats://%s:%s@%s", nodeUser, password, i.NATS.Addr())
	if err := writeURLs(i.urls, URLs{NATS: i.NATSURL(), Etcd: i.EtcdURL()}); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// onPort starts on the given port, or, when none was given, on the usual one and, where that is taken, on any.
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

// NATSURL is where the NATS server listens, with the credentials of a node.
func (i *Infra) NATSURL() string { return i.url }

// ReaderURL is where the NATS server listens, for whoever only looks.
func (i *Infra) ReaderURL() string { return "nats://" + i.NATS.Addr() }

// EtcdURL is where the etcd server listens.
func (i *Infra) EtcdURL() string { return "http://" + strings.TrimPrefix(i.Etcd.Addr(), "http://") }

// Close stops both servers.
func (i *Infra) Close() error {
	_ = os.Remove(i.urls) // a file that stays names servers that nobody finds
	err := i.Etcd.Close()
	i.NATS.Close()
	return err
}

// nodePassword returns the password of the nodes, made once per data directory, so that their URL stays the same.
func nodePassword(dir string) (string, error) {
	path := filepath.Join(dir, "node-password")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the nodes' password cannot be read: %w", err)
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password+"\n"), 0o600)
}
