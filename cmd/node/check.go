package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/systems/script"
)

// The checks of this file are steps of a start, taken alone: each returns the error that Start would return, and leaves
// nothing behind. The doctor makes them.

// Check returns the error with which Start refuses a configuration before it opens anything.
func (c Config) Check() error {
	c = c.withDefaults()
	if err := ValidID(c.ID); err != nil {
		return err
	}
	if err := CheckServices(c.Services); err != nil {
		return err
	}
	if c.NoShard && c.Capacity <= 0 {
		return nil
	}
	return CheckGame(c.Game)
}

// CheckListen opens and closes the addresses of a configuration. One with HTTP alone is checked like one with others beside it.
func (c Config) CheckListen() error {
	n := &Node{config: c.withDefaults(), registry: prometheus.NewRegistry()}
	listen := n.listen
	if c.UDP == "" && c.TCP == "" {
		listen = func() error { return n.listenHTTP(c.HTTP) }
	}
	return errors.Join(listen(), n.close())
}

// CheckScripts creates the configuration's services with their scripts, and ends them.
func (c Config) CheckScripts(ctx context.Context) error {
	c = c.withDefaults()
	for _, s := range c.Services {
		if err := c.checkScripts(ctx, s); err != nil {
			return fmt.Errorf("service %s: %w", s.Type, err)
		}
	}
	return nil
}

func (c Config) checkScripts(ctx context.Context, s Service) error {
	modules, err := script.ReadFolder(c.Scripts, s.Type)
	if err != nil {
		return err
	}
	config, err := s.config("check", modules, c.Logger)
	if err != nil {
		return err
	}
	config.Logger = slog.New(slog.DiscardHandler)
	made, err := newService(config)
	if err != nil {
		return err
	}
	return made.Close(ctx)
}

// CheckData opens and closes the data directory for embedded servers, and looks for room on its disk. It removes what it had to
// create for that.
func (c Config) CheckData() error {
	created := firstMissing(filepath.Join(c.Data, lockFile))
	data, err := openRoom(c.Data)
	if err != nil {
		if created != "" && created != filepath.Join(c.Data, lockFile) {
			_ = os.Remove(created) // an empty folder, if it could be made at all
		}
		return err
	}
	if created != "" {
		return errors.Join(data.Close(), os.RemoveAll(created))
	}
	return data.Close()
}

// firstMissing returns the topmost part of a path that does not exist, or "".
func firstMissing(path string) (missing string) {
	for {
		if _, err := os.Lstat(path); err == nil || path == filepath.Dir(path) {
			return missing
		}
		missing, path = path, filepath.Dir(path)
	}
}

// CheckPorts probes the ports that the configuration gives embedded servers.
func (e Embedded) CheckPorts() error {
	if e.NATSPort > 0 {
		if err := jetstream.ProbePort(e.NATSPort); err != nil {
			return err
		}
	}
	if e.EtcdPort > 0 {
		return etcd.ProbePort(e.EtcdPort)
	}
	return nil
}

// checkLimit bounds a check of servers.
const checkLimit = 10 * time.Second

// CheckServers connects to the cluster's servers as a node does, with the right to publish.
func (c Config) CheckServers(ctx context.Context) error {
	c = c.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	cluster, err := Connect(ctx, c.Cluster, c.NATS, c.Etcd, c.Logger)
	if err != nil {
		return err
	}
	return cluster.Close()
}
