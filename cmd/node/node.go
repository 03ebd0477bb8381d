package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/cert"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// Config configures a node. Game has no default, nor has Data for embedded servers.
type Config struct {
	Game    ecs.Game
	Options []byte  // the user's game options, a JSON object; an existing shard must have been created with them
	Seed    *uint64 // the user's seed; nil: 1 for a new shard

	Cluster string // "" is dev
	Shard   string // "" is main
	ID      string // "" is <host name>-<process id>

	Data string // folder of the embedded servers; unused if NATS and Etcd are both given
	NATS string // URL; "" embeds a server in Data
	Etcd string // URLs, comma-separated; "" embeds a server in Data

	UDP, TCP, HTTP string         // addresses to listen on; "" for none
	TLS            *cert.Pair     // makes TCP and HTTP speak TLS; nil: they are plain
	Insecure       bool           // other machines may reach addresses that nothing encrypts
	Limits         netcode.Limits // per address and per identity

	NoShard  bool      // run no standing shard: only services, a gateway, or rooms up to Capacity
	Services []Service // run an instance of each
	Gateway  *Gateway  // admit clients of the services on the same addresses as the shard's; nil: do not
	Instance string    // id of the service's or gateway's instance, [a-z0-9-]{1,60}; "": type and ID
	Scripts  fs.FS     // of the game: a folder for each service type, and one named shard; nil: none
	Watch    string    // folder like Scripts: reload what is saved there; "": none
	Insist   bool      // begin with Scripts whatever a reload has put in force; other instances follow

	Patience time.Duration // how long a start waits for NATS, etcd or room on the disk; 0: forever
	Lease    time.Duration // how long a silent owner keeps its shard; 0: 5 s, 1 min with embedded servers
	Replicas int           // of new streams; 0: 1

	LogBytes   int64         // limit of the log, also of an existing one; 0: the default, or the existing limit
	DeltaBytes int64         // likewise of the delta stream, which drops its oldest messages
	DeltaAge   time.Duration // drop older deltas; 0: never for age alone
	NoDeltas   bool          // publish no deltas, and leave an existing delta stream unchanged

	EtcdCompact bool // compact an external etcd: only if Wind alone uses it
	Fast        bool // embedded servers for development: see InfraConfig.Fast
	Embedded    Embedded
	Capacity    float64              // milliseconds of tick work per second for rooms; 0: host none
	Labels      map[string]string    // of the node: a room may ask for them
	Archives    persistence.Archives // of rooms that ask for one; nil: this node archives none
	ForgetAfter time.Duration        // remove a room's entries this long after its log was removed; 0: a day
	Purge       Purge                // when to purge records that are older than the two newest proven snapshots
	Logger      *slog.Logger         // nil: slog.Default()

	patience  patience
	roomBytes int64 // limit of a room's log; 0: the default. Tests have less

	Spell func(string) string // rewrites the commands in a condition's text so that they work here; nil: unchanged
}

// Node is a running node. Its methods may be called concurrently.
type Node struct {
	config     Config
	door       *netcode.Door       // nil if clients cannot connect
	accounts   *session.Accounts   // of addresses and identities, in all shards
	mu         sync.Mutex          // guards awaited, err, gateway, instances, rooms and tickets
	awaited    shard.ConditionKind // what the current step of the start waits for
	conditions shard.Conditions    // of the node; its shards have others
	waiting    *wait.List          // calls to NATS and etcd under way
	probes     atomic.Bool         // watchServers says whether NATS and etcd answer
	registry   *prometheus.Registry
	http       *http.Server
	closers    []func() error // in the order of opening
	httpAddr   string
	infra      *Infra
	cluster    *Cluster
	crew       *shard.Crew // works for all shards
	standing   *hosted     // the shard of Config.Shard; nil with NoShard
	rooms      *rooms      // nil without a capacity
	member     *etcd.Node
	build      ecs.Build
	gateway    *gateway.Gateway // nil without one
	gatewayID  string
	tickets    []byte // the cluster's key for them; nil until somebody needs it
	instances  []*instance
	ctx        context.Context // ends when the node stops
	cancel     context.CancelFunc
	done       chan struct{}
	err        error // why it no longer runs, complete once done is closed
}

// Start opens everything and begins to run the shard, or to wait for it. On an error it leaves nothing open. The node
// runs until Stop; ctx bounds only the start.
func Start(ctx context.Context, c Config) (*Node, error) {
	n := &Node{config: c.withDefaults(), registry: prometheus.NewRegistry(), crew: shard.NewCrew(), done: make(chan struct{})}
	n.onClose(func() error { n.crew.Close(); return nil })
	n.waiting = wait.NewList(n.config.Logger)
	ctx = wait.With(ctx, n.waiting)
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.start(ctx); err != nil {
		n.cancel()
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (c Config) withDefaults() Config {
	if c.Cluster == "" {
		c.Cluster = "dev"
	}
	if c.Shard == "" {
		c.Shard = "main"
	}
	if c.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "node"
		}
		c.ID = fmt.Sprintf("%.64s-%d", strings.Map(idRune, host), os.Getpid())
	}
	if c.Lease == 0 {
		c.Lease = 5 * time.Second
		if c.embedded() {
			c.Lease = time.Minute // no other node can want the shard: a shorter lease would only expire when this process stalls
		}
	}
	c.ForgetAfter = cmp.Or(c.ForgetAfter, 24*time.Hour)
	c.Logger, c.patience = cmp.Or(c.Logger, slog.Default()), c.patience.withDefaults()
	return c
}

// admits reports whether clients may connect.
func (c Config) admits() bool { return !c.NoShard || c.Gateway != nil || c.Capacity > 0 }

// embedded reports whether the node embeds its servers.
func (c Config) embedded() bool { return c.NATS == "" && c.Etcd == "" }

func (n *Node) start(ctx context.Context) error {
	if err := n.config.Check(); err != nil {
		return err // before anything is opened or written
	}
	if err := n.listen(); err != nil {
		return err
	}
	n.tellConditions()
	if err := n.embed(ctx); err != nil {
		return err
	}
	var first *hosting
	if err := n.patiently(ctx, func(ctx context.Context) error { return n.enter(ctx, &first) }); err != nil {
		return err
	}
	n.run(first)
	if n.config.NoShard {
		n.watchServers()
	}
	if n.config.Watch != "" {
		return n.watchScripts(n.config.Watch)
	}
	return nil
}

// enter connects, and opens everything that depends on NATS and etcd. Without a shard, *first stays nil.
func (n *Node) enter(ctx context.Context, first **hosting) (err error) {
	n.awaits(shard.AwaitsNATS)
	if err := n.connect(ctx); err != nil {
		return err
	}
	n.awaits(shard.AwaitsEtcd)
	if err := n.join(ctx); err != nil {
		return err
	}
	n.awaits(shard.AwaitsNATS)
	if err := n.startServices(ctx); err != nil {
		return err
	}
	if n.config.Gateway != nil {
		if err := n.startGateway(ctx); err != nil {
			return err
		}
	}
	if !n.config.NoShard {
		if *first, err = n.standing.open(ctx); err != nil {
			return err
		}
		n.onClose(func() error { n.standing.served.Close(); return nil })
		n.registerHung()
	}
	if err := n.followRooms(ctx); err != nil {
		return err
	}
	return n.serveRooms(ctx)
}

// listen opens the clients' sockets first, so that a taken port is found before anything is written.
func (n *Node) listen() error {
	c := n.config
	if !c.admits() {
		if c.HTTP == "" {
			return nil
		}
		return n.listenHTTP(c.HTTP)
	}
	config := netcode.Config{UDP: c.UDP, TCP: c.TCP, Insecure: c.Insecure, Shard: c.Shard, Locate: n.locate, Limits: c.Limits, Logger: c.Logger}
	if c.TLS != nil {
		config.TLS = c.TLS.ServerConfig()
	}
	if c.NoShard {
		config.Shard = "" // which a client that names none would wait for
	}
	if c.Gateway != nil {
		config.GatewayLater = true
		config.GatewayFramesPerSecond, config.Origins = c.Gateway.Rate, c.Gateway.Origins
		if c.Gateway.Rate < 0 {
			config.GatewayBytesPerSecond = -1
			if config.Limits.ConnectionsPerAddress == 0 {
				config.Limits.ConnectionsPerAddress = -1
			}
		}
	}
	var err error
	if n.door, err = netcode.Listen(config); err != nil {
		return listenError(err)
	}
	n.onClose(n.door.Close)
	n.warnOpen("udp", c.UDP, false)
	n.warnOpen("tcp", c.TCP, c.TLS != nil)
	n.accounts = session.NewAccounts(config.Limits)
	if !c.NoShard {
		begin := ecs.Config{Options: c.Options}
		if c.Seed != nil {
			begin.Seed = *c.Seed
		}
		if n.standing, err = n.newHosted(c.Shard, c.Game, begin); err != nil {
			return err
		}
	}
	if c.HTTP == "" {
		return nil
	}
	return n.listenHTTP(c.HTTP)
}

// embed starts the servers that the configuration does not name.
func (n *Node) embed(ctx context.Context) error {
	c := n.config
	if c.NATS != "" && c.Etcd != "" {
		return nil
	}
	if c.NATS != "" || c.Etcd != "" {
		return errors.New("give both --nats and --etcd, or neither: the embedded servers come as a pair")
	}
	data, infra, err := OpenInfra(ctx, c.Data, InfraConfig{Embedded: c.Embedded, Fast: c.Fast, Patience: c.Patience, Logger: c.Logger}, n.told)
	if err != nil {
		return err
	}
	n.infra = infra
	n.onClose(data.Close)
	n.onClose(n.infra.Close)
	n.alongside(func(ctx context.Context) {
		select {
		case <-n.infra.Etcd.Dead():
			n.fail(n.infra.Etcd.Err())
		case <-ctx.Done():
		}
	})
	return nil
}

// connect connects to the servers, embedded or not.
func (n *Node) connect(ctx context.Context) (err error) {
	c := n.config
	if n.infra == nil {
		conn, err := dialNATS(ctx, c.NATS, c.Logger)
		if err != nil {
			return err
		}
		n.awaits(shard.AwaitsEtcd)
		if n.cluster, err = connect(ctx, c.Cluster, conn, strings.Split(c.Etcd, ","), c.Logger); err != nil {
			return err
		}
		n.onClose(n.cluster.Close)
		return nil
	}
	conn, err := n.infra.NATS.Connect(ctx)
	if err != nil {
		return err
	}
	if n.cluster, err = connect(ctx, c.Cluster, conn, []string{n.infra.EtcdURL()}, c.Logger); err != nil {
		return err
	}
	n.onClose(n.cluster.Close)
	return nil
}

// join makes the process a node of its cluster.
func (n *Node) join(ctx context.Context) (err error) {
	c := n.config
	n.build = ThisBuild(c.Game)
	n.awaits("") // its name may be another process's for a while, which is no outage
	n.member, err = etcd.Join(ctx, n.cluster.Etcd, etcd.NodeConfig{
		Cluster: c.Cluster, ID: c.ID, TTL: c.Lease, Build: n.build, Logger: c.Logger, Heir: n.infra != nil, Compact: c.EtcdCompact,
		Addresses: n.addresses(),
	})
	if errors.Is(err, etcd.ErrTaken) {
		return fmt.Errorf("%w: choose another name with --node, or stop that process; if it is dead, wait until its lease has ended", err)
	}
	if err != nil {
		return err
	}
	n.onClose(func() error { return leave(n.member) })
	n.alongside(func(ctx context.Context) {
		select {
		case <-n.member.Taken():
			n.fail(fmt.Errorf("node %s ends: another process took its name while this one could not reach etcd; give each its own with --node: %w", c.ID, etcd.ErrTaken))
		case <-ctx.Done():
		}
	})
	n.awaits(shard.AwaitsNATS)
	end, err := n.cluster.Bus.ServeNode(c.ID, func() {
		c.Logger.Info("stopping: an operator asked for it", "node", c.ID)
		n.cancel()
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", c.ID, err)
	}
	n.onClose(end)
	return nil
}

// leave revokes the lease within a bounded time, so that nobody waits for it to expire.
func leave(member *etcd.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return member.Close(ctx)
}

// run runs the shard's hosts until Stop; a node without a shard waits.
func (n *Node) run(first *hosting) {
	go func() {
		defer close(n.done)
		var err error
		if first == nil {
			<-n.ctx.Done()
		} else {
			err = n.standing.keep(n.ctx, first)
		}
		n.mu.Lock()
		n.err = errors.Join(n.err, err)
		n.mu.Unlock()
	}()
}

// Done returns a channel that is closed when the node neither runs its shard nor waits for it any more: it was stopped,
// or it cannot run the shard.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err blocks until Done is closed and returns the reason, which is nil after Stop.
func (n *Node) Err() error {
	<-n.done
	return n.err
}

// End returns what the log of the node's shard says about the shard's end, or nil if it goes on or the log could not be read.
// Done is closed when a shard ends, and Err is shard.ErrEnded.
func (n *Node) End() *room.End {
	if n.standing == nil {
		return nil
	}
	n.standing.mu.Lock()
	defer n.standing.mu.Unlock()
	return n.standing.end
}

// Stop commits pending ticks, hands the shard over and closes everything.
func (n *Node) Stop() error {
	n.cancel()
	<-n.done
	return errors.Join(n.err, n.close())
}

// Game returns the game that the node runs.
func (n *Node) Game() ecs.Game { return n.config.Game }

// ID returns the node's id in the cluster.
func (n *Node) ID() string { return n.config.ID }

// Infra returns the embedded servers, or nil if the node uses external ones.
func (n *Node) Infra() *Infra { return n.infra }

// UDPAddr returns the address for clients over UDP, or "" without one.
func (n *Node) UDPAddr() string {
	if n.door == nil {
		return ""
	}
	return addrOf(n.door.UDPAddr())
}

// TCPAddr returns the address for clients over TCP, or "" without one.
func (n *Node) TCPAddr() string {
	if n.door == nil {
		return ""
	}
	return addrOf(n.door.TCPAddr())
}

// addresses returns the addresses that the node listens on, by transport.
func (n *Node) addresses() map[string]string {
	return map[string]string{"udp": n.UDPAddr(), "tcp": n.TCPAddr(), "http": n.HTTPAddr()}
}

// Watched returns the folder whose scripts are reloaded when they are saved, or "" without one.
func (n *Node) Watched() string { return n.config.Watch }

// HTTPAddr returns the address of /healthz and /metrics, or "" without one.
func (n *Node) HTTPAddr() string { return n.httpAddr }

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// fail stops the node; Err returns err.
func (n *Node) fail(err error) {
	n.mu.Lock()
	n.err = errors.Join(n.err, err)
	n.mu.Unlock()
	n.cancel()
}

// yields ends the node when another process takes the id of its directory entry, so that no player is served twice.
func (n *Node) yields(entry *etcd.Registration) {
	n.alongside(func(ctx context.Context) {
		select {
		case <-entry.Taken():
			i := entry.Instance()
			n.fail(fmt.Errorf("instance %s of service %s ends: another process took its id while this one could not reach etcd: %w", i.ID, i.Type, etcd.ErrTaken))
		case <-ctx.Done():
		}
	})
}

// alongside runs f in a goroutine. f must return when its context ends; closing the node ends it and waits for f.
func (n *Node) alongside(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	n.onClose(func() error {
		cancel()
		<-done
		return nil
	})
}

// close closes everything that was opened, newest first.
func (n *Node) close() error { return n.closeTo(0) }

// closeTo closes everything but the first keep things opened, newest first.
func (n *Node) closeTo(keep int) (err error) {
	for i := len(n.closers) - 1; i >= keep; i-- {
		err = errors.Join(err, n.closers[i]())
	}
	n.closers = n.closers[:keep]
	return err
}
