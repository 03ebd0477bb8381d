package etcd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
)

// redial sets the pauses between attempts to reconnect. By default they grow to two minutes: after an outage, a node
// would need as long again to notice its end.
var redial = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond}

// Dial connects to a cluster. It fails within wait.Limit if nobody answers at the endpoints.
func Dial(ctx context.Context, endpoints ...string) (client *clientv3.Client, err error) {
	for _, e := range endpoints {
		if err := validEndpoint(e); err != nil {
			return nil, err
		}
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: 2 * time.Second})},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot connect to %v: %w", endpoints, err)
	}
	ctx, end := wait.For(ctx, wait.Etcd, wait.Limit, "at "+strings.Join(endpoints, ", "))
	defer end(&err)
	if _, err := c.Get(ctx, "/wind/", clientv3.WithCountOnly()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// validEndpoint rejects an endpoint at which no server can ever answer: the client would retry it forever.
func validEndpoint(endpoint string) error {
	hostPort := endpoint
	if scheme, rest, ok := strings.Cut(endpoint, "://"); ok {
		if scheme == "unix" || scheme == "unixs" {
			return nil
		}
		if scheme != "http" && scheme != "https" {
			return fmt.Errorf("etcd: %q is not an endpoint: it begins with %s://, not with http:// or https://", endpoint, scheme)
		}
		hostPort = strings.TrimSuffix(rest, "/")
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err == nil && host == "" {
		err = errors.New("it has no host")
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("etcd: %q is not an endpoint such as http://127.0.0.1:2379: %w", endpoint, err)
	}
	return nil
}

// NodeConfig configures a node.
type NodeConfig struct {
	Cluster   string            // [a-z0-9-]{1,40}
	ID        string            // unique among living nodes: Join and a later lease respect the node that has it
	TTL       time.Duration     // of the lease, whole seconds, at least 1 s; zero: 5 s. The server may raise it
	Addresses map[string]string // transport → host:port, for processes that look for the node
	Build     ecs.Build
	// Heir says that the etcd server is the node's own and no other process uses it. The node then revokes its
	// predecessor's lease at once instead of waiting for it to expire.
	Heir bool
	// Compact makes the node compact all of etcd, up to the revision of five minutes ago. Set it only if Wind alone
	// uses that etcd.
	Compact bool
	Logger  *slog.Logger // nil: slog.Default()
}

// Node is a process of a cluster: one registration and one lease, which a goroutine keeps alive. If the lease expires
// nevertheless, the node takes a new one and registers again, and so do its services (see Register), unless another
// process has registered the id since (see Taken); everything else under the old lease is lost. Safe for concurrent use.
type Node struct {
	cfg    NodeConfig
	client *clientv3.Client
	values context.Context // the values of Join's context, for goroutines that run until Close
	cancel context.CancelFunc
	done   sync.WaitGroup

	running context.Context // ends with Close
	notes   notes
	owed    owed

	crowded atomic.Bool // nobody compacts etcd, or it is full: write notes less often

	since time.Time        // of Join: it stays when the node takes a new lease
	taken chan struct{}    // closed when another process has the id
	begun clientv3.LeaseID // of an attempt to register whose end is unknown, else 0; the record may hang on it

	mu         sync.Mutex
	lease      shard.LeaseState
	registered map[*Registration]struct{}
	closed     bool
	hung       string
}

// nodeValue is the value of /nodes/<id>.
type nodeValue struct {
	Node      string            `json:"node"`
	Host      string            `json:"host,omitempty"`
	Process   int               `json:"process"`
	Addresses map[string]string `json:"addresses,omitempty"`
	Build     ecs.Build         `json:"build"`
	Since     time.Time         `json:"since"`
	Hung      string            `json:"hung,omitempty"`
}

// Join takes a lease, registers the node and keeps both alive until Close. If another process has the id, Join waits until
// that one's lease has ended; it returns ErrTaken if the process is alive. The caller keeps ownership of the client.
func Join(ctx context.Context, client *clientv3.Client, cfg NodeConfig) (*Node, error) {
	if err := validCluster(cfg.Cluster); err != nil {
		return nil, err
	}
	if cfg.ID == "" {
		return nil, errors.New("etcd: a node needs an id")
	}
	if cfg.TTL <= 0 {
		cfg.TTL = 5 * time.Second
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	n := &Node{cfg: cfg, client: client, since: time.Now().UTC(), taken: make(chan struct{}), registered: map[*Registration]struct{}{}}
	if err := n.arrive(ctx); err != nil {
		return nil, err
	}
	n.values = context.WithoutCancel(ctx)
	ctx, n.cancel = context.WithCancel(n.values)
	n.running = ctx
	n.done.Go(func() { n.keepAlive(ctx) })
	n.done.Go(func() { n.tend(ctx) })
	return n, nil
}

// State returns the latest known state of the lease.
func (n *Node) State() shard.LeaseState {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lease
}

// ID returns the node's id.
func (n *Node) ID() string { return n.cfg.ID }

// Taken returns a channel that is closed when another process has registered the id after this node lost its lease. This
// node has then left the cluster for good and must end.
func (n *Node) Taken() <-chan struct{} { return n.taken }

// Close revokes the lease, so that everything under it disappears at once, and waits for the goroutines of the node and
// of its registrations. It returns by the deadline of ctx even if etcd does not answer.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	n.cancel()
	n.mu.Unlock()
	n.done.Wait()
	n.mu.Lock()
	n.closed = true
	open := slices.Collect(maps.Keys(n.registered))
	n.mu.Unlock()
	for _, r := range open {
		r.stop()
	}
	if err := errors.Join(n.revoke(ctx, clientv3.LeaseID(n.State().ID)), n.withdraw(ctx)); err != nil {
		return fmt.Errorf("etcd: cannot revoke the lease, which expires on its own: %w", err)
	}
	return nil
}

// begin starts a goroutine that Close waits for. It returns false if the node is closed.
func (n *Node) begin(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running.Err() != nil {
		return false
	}
	n.done.Go(f)
	return true
}

// revoke ends a lease and removes everything under it. A lease that has ended is no error.
func (n *Node) revoke(ctx context.Context, lease clientv3.LeaseID) (err error) {
	ctx, end := asks(ctx, "revoke a lease of node "+n.cfg.ID)
	defer end(&err)
	_, err = n.client.Revoke(ctx, lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// withdraw removes what an attempt to register may have left.
func (n *Node) withdraw(ctx context.Context) error {
	if n.begun == 0 {
		return nil
	}
	err := n.revoke(ctx, n.begun)
	if err == nil {
		n.begun = 0
	}
	return err
}

// arrive registers the node as soon as no other process has its id.
func (n *Node) arrive(ctx context.Context) error {
	if n.cfg.Heir {
		if err := n.disinherit(ctx); err != nil {
			return err
		}
	}
	for {
		if err := n.vacant(ctx, n.key(), n.claimed); err != nil {
			return err
		}
		if err := n.enter(ctx); !errors.Is(err, ErrTaken) { // otherwise another process was faster: wait for that one
			return err
		}
	}
}

// key is where the node registers.
func (n *Node) key() string { return "/wind/" + n.cfg.Cluster + "/nodes/" + n.cfg.ID }

// claimed describes the process that has the node's id.
func (n *Node) claimed(h *holder) claimed {
	var v nodeValue
	where := "elsewhere"
	if json.Unmarshal(h.value, &v) == nil && v.Host != "" {
		where = fmt.Sprintf("on host %s (process %d) since %s", v.Host, v.Process, v.Since.Format(time.DateTime))
	}
	return claimed{
		attrs: []any{"node", n.cfg.ID, "host", v.Host, "process", v.Process},
		err:   fmt.Errorf("etcd: node %s already runs %s, and its lease lasts another %v: %w", n.cfg.ID, where, h.left, ErrTaken),
	}
}

// enter takes a lease and registers the node. It never overwrites another process's record: it returns ErrTaken.
func (n *Node) enter(ctx context.Context) (err error) {
	ctx, end := wait.For(clientv3.WithRequireLeader(ctx), wait.Etcd, wait.Limit, "grant a lease to node "+n.cfg.ID)
	defer end(&err)
	if err := n.withdraw(ctx); err != nil {
		return fmt.Errorf("etcd: cannot remove what an earlier attempt of node %s left: %w", n.cfg.ID, err)
	}
	sent := time.Now()
	granted, err := n.client.Grant(ctx, int64((n.cfg.TTL+time.Second-1)/time.Second))
	if err != nil {
		return fmt.Errorf("etcd: cannot get a lease for node %s: %w", n.cfg.ID, err)
	}
	n.begun = granted.ID
	value, err := n.value()
	if err != nil {
		return err
	}
	if n.cfg.Heir {
		if err := n.bequeath(ctx, granted.ID); err != nil {
			return err
		}
	}
	free := clientv3.Compare(clientv3.LeaseValue(n.key()), "=", 0) // no key, or one that no process keeps alive
	answer, err := n.client.Txn(ctx).If(free).Then(clientv3.OpPut(n.key(), value, clientv3.WithLease(granted.ID))).Commit()
	if err != nil {
		return fmt.Errorf("etcd: cannot register node %s: %w", n.cfg.ID, err)
	}
	if !answer.Succeeded {
		_ = n.withdraw(ctx) // else the lease, which has no key, expires on its own
		return fmt.Errorf("etcd: cannot register node %s: %w", n.cfg.ID, ErrTaken)
	}
	n.begun = 0
	n.mu.Lock()
	n.lease = shard.LeaseState{ID: int64(granted.ID), Sent: sent, TTL: time.Duration(granted.TTL) * time.Second}
	for r := range n.registered {
		r.poke()
	}
	n.mu.Unlock()
	return nil
}

// value is the node's record.
func (n *Node) value() (string, error) {
	host, _ := os.Hostname() // only for people who look for the process
	n.mu.Lock()
	defer n.mu.Unlock()
	value, err := json.Marshal(nodeValue{
		Node: n.cfg.ID, Host: host, Process: os.Getpid(), Addresses: n.cfg.Addresses, Build: n.cfg.Build, Since: n.since, Hung: n.hung,
	})
	if err != nil {
		return "", fmt.Errorf("etcd: %w", err)
	}
	return string(value), nil
}

// SetHung writes into the node's record what keeps its shard from going on; "": nothing.
func (n *Node) SetHung(ctx context.Context, what string) (err error) {
	n.mu.Lock()
	n.hung = what
	lease := clientv3.LeaseID(n.lease.ID)
	n.mu.Unlock()
	value, err := n.value()
	if err != nil {
		return err
	}
	ctx, end := asks(ctx, "write the record of node "+n.cfg.ID)
	defer end(&err)
	own := clientv3.Compare(clientv3.LeaseValue(n.key()), "=", lease)
	answer, err := n.client.Txn(ctx).If(own).Then(clientv3.OpPut(n.key(), value, clientv3.WithLease(lease))).Commit()
	if err != nil {
		return fmt.Errorf("etcd: cannot write the record of node %s: %w", n.cfg.ID, err)
	}
	if !answer.Succeeded {
		return fmt.Errorf("etcd: cannot write the record of node %s: its lease has ended", n.cfg.ID)
	}
	return nil
}

// heirValue is the value of /node-lease.
type heirValue struct {
	Lease int64  `json:"lease"`
	Node  string `json:"node"`
}

// disinherit revokes the lease of the node that embedded etcd before this one: that process has ended.
func (n *Node) disinherit(ctx context.Context) (err error) {
	ctx, end := asks(ctx, "revoke the lease of the predecessor of node "+n.cfg.ID)
	defer end(&err)
	before, err := n.client.Get(ctx, n.legacy())
	if err == nil && len(before.Kvs) > 0 {
		var v heirValue
		if json.Unmarshal(before.Kvs[0].Value, &v) == nil { // otherwise the lease expires on its own
			err = n.revoke(ctx, clientv3.LeaseID(v.Lease))
		}
	}
	if err != nil {
		return fmt.Errorf("etcd: cannot remove what the predecessor of node %s left: %w", n.cfg.ID, err)
	}
	return nil
}

// bequeath notes the lease for this node's successor, before anything hangs on it.
func (n *Node) bequeath(ctx context.Context, own clientv3.LeaseID) (err error) {
	ctx, end := asks(ctx, "note the lease of node "+n.cfg.ID)
	defer end(&err)
	value, err := json.Marshal(heirValue{Lease: int64(own), Node: n.cfg.ID})
	if err == nil {
		_, err = n.client.Put(ctx, n.legacy(), string(value))
	}
	if err != nil {
		return fmt.Errorf("etcd: cannot note the lease of node %s for its successor: %w", n.cfg.ID, err)
	}
	return nil
}

// legacy is where a node that embeds etcd notes its lease.
func (n *Node) legacy() string { return "/wind/" + n.cfg.Cluster + "/node-lease" }

// keepAlive renews the lease six times per TTL. A renewal counts from when an answered request was sent; the server
// counts from when it handled the request, which is later. So a slow answer is worth waiting for. After a failure the
// next request is sent almost at once.
func (n *Node) keepAlive(ctx context.Context) {
	pause := n.State().TTL / 6
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		state := n.State()
		err := n.renew(ctx, state)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			n.cfg.Logger.Warn("the node's lease expired; everything under it is lost", "node", n.cfg.ID)
			err = n.enter(ctx)
		}
		if errors.Is(err, ErrTaken) {
			n.cfg.Logger.Error("another process has registered under this node's name", "node", n.cfg.ID, "error", err)
			close(n.taken)
			return
		}
		if pause = state.TTL / 6; err != nil && ctx.Err() == nil {
			pause = state.TTL / 100
			n.cfg.Logger.Warn("cannot renew the node's lease", "node", n.cfg.ID, "error", err)
		}
	}
}

// renew sends one keepalive.
func (n *Node) renew(ctx context.Context, state shard.LeaseState) (err error) {
	ctx, end := wait.For(clientv3.WithRequireLeader(ctx), wait.Etcd, state.TTL/2, "renew the lease of node "+n.cfg.ID)
	defer end(&err)
	sent := time.Now()
	answer, err := n.client.KeepAliveOnce(ctx, clientv3.LeaseID(state.ID))
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lease = shard.LeaseState{ID: state.ID, Sent: sent, TTL: time.Duration(answer.TTL) * time.Second}
	return nil
}

// NodeInfo is a node's registration.
type NodeInfo struct {
	Node      string
	Host      string // name of the machine, or "" if it has none
	Process   int    // id of the process on its host
	Addresses map[string]string
	Build     ecs.Build
	Since     time.Time
	Hung      string // what keeps its shard from going on, and since when; "": nothing
}

// Nodes lists the living nodes of a cluster, sorted by id.
func Nodes(ctx context.Context, client *clientv3.Client, cluster string) (all []NodeInfo, err error) {
	ctx, end := asks(ctx, "list the nodes of cluster "+cluster)
	defer end(&err)
	got, err := client.Get(ctx, "/wind/"+cluster+"/nodes/", clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot list the nodes of cluster %s: %w", cluster, err)
	}
	for _, kv := range got.Kvs {
		var v nodeValue
		if err := json.Unmarshal(kv.Value, &v); err != nil {
			return nil, fmt.Errorf("etcd: %s: %w", kv.Key, err)
		}
		all = append(all, NodeInfo(v))
	}
	return all, nil
}

// Clusters lists the clusters that have keys in etcd, in order.
func Clusters(ctx context.Context, client *clientv3.Client) (names []string, err error) {
	const root = "/wind/"
	ctx, end := asks(ctx, "list the clusters")
	defer end(&err)
	for from := root; ; {
		got, err := client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(root)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return nil, fmt.Errorf("etcd: cannot list the clusters: %w", err)
		}
		if len(got.Kvs) == 0 {
			return names, nil
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(string(got.Kvs[0].Key), root), "/")
		names = append(names, name)
		from = clientv3.GetPrefixRangeEnd(root + name + "/")
	}
}
