package cmd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
)

// nodeFlags are the flags of a node: its addresses, its store and its servers.
type nodeFlags struct {
	udp, tcp, http   string
	data, nats, etcd string
	cluster, shard   string
	node             nodeName
	replicas         int
	lease            leaseTime
	fast, compact    bool
	purge            node.Purge
	logBytes         byteSize
	deltas           deltaLimit
	embedded         embeddedFlags
	limits           limitsFlag
	tls              tlsFlags
	capacity         float64
	labels           labelsFlag
	archive          string
	game             *gameFlags
	roomsAlone       bool // the verb runs without a shard of its own if --shard is empty
	set              *pflag.FlagSet
}

// gives reports whether the call gives a flag.
func (f *nodeFlags) gives(name string) bool { return f.set.Changed(name) }

// add declares the flags that dev, serve and doctor share.
func (f *nodeFlags) add(set *pflag.FlagSet, a *app) {
	f.set = set
	set.StringVar(&f.udp, "udp", "127.0.0.1:7777", "address for clients over UDP (KCP and datagrams); empty for none")
	set.StringVar(&f.tcp, "tcp", "127.0.0.1:7777", "address for clients over TCP; empty for none")
	set.StringVar(&f.http, "http", "127.0.0.1:7778", "address for /healthz and /metrics; empty for none")
	set.StringVar(&f.data, "data", "./wind-data", "folder of the embedded servers' data")
	set.StringVar(&f.shard, "shard", "main", "shard to run")
	set.Var(&f.purge, "purge", "when to remove the log's records before two proven snapshots: when-full (at 80 %, down to 60 %), always (after each snapshot) or never; removed records can no longer be replayed")
	set.Lookup("purge").NoOptDefVal = string(node.PurgeAlways)
	f.purge = node.PurgeWhenFull
	f.logBytes.least = jetstream.MinLogBytes
	set.Var(&f.logBytes, "log-bytes", "limit of the shard's log, such as 8GiB; also changes an existing log's (default: 8GiB, or a quarter of a small store)")
	set.Var(&f.deltas, "deltas", "which deltas to keep: off (publish none), an age such as 24h, a size such as 4GiB, or both as 24h,4GiB; also changes an existing stream (default: 4GiB, or an eighth of a small store)")
	f.embedded.add(set)
	f.limits.add(set)
	f.tls.add(set)
	f.labels = labelsFlag{}
	set.Float64Var(&f.capacity, "capacity", 700*float64(runtime.NumCPU()), "milliseconds of tick work per second that this node may spend on rooms: 1000 is one processor, 0 takes no rooms, the default is 70 % of all processors")
	set.Var(f.labels, "label", "label of this node, such as region=eu, for rooms that ask for it; repeatable")
	set.StringVar(&f.archive, "archive", "", "folder, or URL of an object store that this binary has, for the archives of rooms that ask for one (room create --keep archive); nodes of a cluster should share it (default: this node archives none)")
	f.game = addGameFlags(a.game, set)
}

// addServers declares the flags of verbs that can use servers in other processes.
func (f *nodeFlags) addServers(set *pflag.FlagSet) {
	set.StringVar(&f.nats, "nats", "", "URL of a NATS server with JetStream (default: an embedded one in --data)")
	set.StringVar(&f.etcd, "etcd", "", "URLs of etcd servers, comma-separated (default: an embedded one in --data)")
	set.StringVar(&f.cluster, "cluster", "dev", "name of the cluster: part of stream names and etcd keys")
	set.Var(&f.node, "node", "this node's name, unique in its cluster (default: host name and process id)")
	set.BoolVar(&f.compact, "etcd-compact", false, "compact all of etcd up to 5 minutes ago: for servers that only Wind uses and that do not compact themselves")
	set.IntVar(&f.replicas, "replicas", 0, "copies that the NATS cluster keeps of a new log: 1 or 3 (default: 1)")
	set.Var(&f.lease, "lease", "how long an owner may be silent before it loses its shard, 2s to 1h (default: 5s; 1m with embedded servers)")
}

// config turns the flags into a node's configuration.
func (f *nodeFlags) config(a *app) (node.Config, error) {
	options, seed, err := f.game.given()
	if err == nil {
		err = f.check()
	}
	if err == nil && f.replicas > 1 && f.nats == "" {
		err = usagef("--replicas %d needs a cluster of as many NATS servers: name it with --nats; the embedded server is one", f.replicas)
	}
	if err != nil {
		return node.Config{}, err
	}
	c := node.Config{
		LogBytes: f.logBytes.bytes, DeltaBytes: f.deltas.bytes, DeltaAge: f.deltas.age, NoDeltas: f.deltas.off, Embedded: f.embedded.config(),
		Game: a.game, Options: options, Seed: seed, Cluster: f.cluster, Shard: f.shard, ID: string(f.node), Data: f.data, NATS: f.nats, Etcd: f.etcd,
		NoShard: f.shard == "", UDP: f.udp, TCP: f.tcp, HTTP: f.http, Limits: f.limits.limits, Lease: time.Duration(f.lease), Replicas: f.replicas, EtcdCompact: f.compact, Fast: f.fast, Purge: f.purge, Capacity: f.capacity, Labels: f.labels, Logger: a.log, Spell: a.self.spell,
	}
	return c, f.tls.use(&c, a.log)
}

// archives opens the place for archives, if there is one, and tries it, or nobody learns until a room ends that it takes none. A
// folder that takes none ends the start. An object store may be away for a while, and what is to go there waits.
func (f *nodeFlags) archives(ctx context.Context, a *app) (persistence.Archives, error) {
	archives, err := f.findArchives(ctx, a)
	if archives == nil || err != nil {
		return nil, err
	}
	err = probeArchives(ctx, archives, f.archive, f.cluster+"/")
	if _, folder := archives.(*persistence.Folder); err != nil && !folder {
		a.log.Warn("the logs of rooms that ask for an archive stay until this place takes them", "reason", err)
		err = nil
	}
	return archives, err
}

// checkArchives is archives for a look: in place of a folder that does not exist it tries the one in which that would be made.
func (f *nodeFlags) checkArchives(ctx context.Context, a *app) error {
	archives, err := f.findArchives(ctx, a)
	if archives == nil || err != nil {
		return err
	}
	below := f.cluster + "/"
	if _, folder := archives.(*persistence.Folder); folder {
		if archives, err = persistence.NewFolder(nearestFolder(filepath.Join(f.archive, f.cluster))); err != nil {
			return fmt.Errorf("--archive: %w", err)
		}
		below = ""
	}
	return probeArchives(ctx, archives, f.archive, below)
}

// probeLimit bounds the trial of a place for archives.
const probeLimit = 10 * time.Second

func probeArchives(ctx context.Context, archives persistence.Archives, where, below string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	if err := persistence.ProbeArchives(ctx, archives, fmt.Sprintf("%sprobe-%016x", below, rand.Uint64())); err != nil {
		return fmt.Errorf("--archive: no archive can be kept in %s (%w): let this user write, list, read and remove files there, or name another place", where, err)
	}
	return nil
}

// findArchives is archives, but changes nothing.
func (f *nodeFlags) findArchives(ctx context.Context, a *app) (persistence.Archives, error) {
	if f.archive == "" {
		return nil, nil
	}
	archives, err := a.archivesAt(ctx, f.archive)
	if _, ok := archives.(*persistence.Folder); ok && err == nil {
		err = first(notBelowFile(f.archive), notBelowFile(filepath.Join(f.archive, f.cluster)))
	}
	if err != nil {
		return nil, fmt.Errorf("--archive: %w", err)
	}
	return archives, nil
}

// check refuses flags with which no node can start.
func (f *nodeFlags) check() error {
	if err := first(f.places(), checkPair(f.nats, f.etcd)); err != nil {
		return err
	}
	switch {
	case !(f.capacity >= 0 && f.capacity <= 1e9):
		return usagef("--capacity %g: want 0 to 1e9 milliseconds per second; 1000 is one processor, 0 takes no rooms", f.capacity)
	case f.shard == "" && f.capacity == 0:
		return usagef("--shard is empty and --capacity 0 takes no rooms: the node would have nothing to do")
	case f.replicas != 0 && f.replicas != 1 && f.replicas != 3:
		return usagef("--replicas %d is not 1 or 3", f.replicas)
	}
	return f.embedded.check(f.nats)
}

// admits refuses a call that leaves clients no address.
func (f *nodeFlags) admits() error {
	if f.udp == "" && f.tcp == "" {
		return usagef("give --udp or --tcp an address: without one, no client can connect")
	}
	return nil
}

// places refuses invalid addresses and names.
func (f *nodeFlags) places() error {
	ports := append(ports{{"--udp", "udp", f.udp}, {"--tcp", "tcp", f.tcp}, {"--http", "tcp", f.http}}, f.embedded.ports()...)
	if f.shard == "" && f.roomsAlone {
		return first(ports.check(f.tls), checkName("--cluster", f.cluster))
	}
	return first(ports.check(f.tls), checkName("--shard", f.shard), checkName("--cluster", f.cluster))
}
