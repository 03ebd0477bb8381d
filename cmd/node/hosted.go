package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/reload"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// hosted is a shard that this node hosts, or waits to host, behind the node's front door. It runs one host after another:
// see keep.
type hosted struct {
	node       *Node
	name       string
	game       ecs.Game
	config     ecs.Config // of a new shard
	clients    *eventCounter
	sources    *intake.Sources
	ownership  *etcd.Shard
	conditions shard.Conditions // of the shard on this node; its host has others

	limits   shard.Limits
	ctx      context.Context // of a room; its end gives the room up
	cancel   context.CancelFunc
	noWait   bool             // leave the shard to the node that owns it: a room's
	phase    float64          // of its ticks: a room's
	served   *bus.ServedShard // nil until open
	mu       sync.Mutex       // guards what follows
	end      *room.End        // of a room that is over
	lineage  string           // of the log that says so
	over     bool             // a host found the room over, and left the owner key of that epoch
	epoch    persistence.Epoch
	host     *shard.Host
	past     shard.Stats // of the earlier hosts
	measured struct {
		at    time.Time
		total time.Duration
	}
	lingers lingering

	otherReplicas sync.Once // logs that Config.Replicas differs from the log's
}

// hosting is a host of the shard with its storage. Each attempt to own the shard has its own: a host runs only once,
// and an outage may have replaced the log.
type hosting struct {
	host  *shard.Host
	store *jetstream.Shard
}

func (h *hosting) close() { h.store.Close() }

// newHosted makes a shard known to the front door. Its clients are asked to try again, or wait, until this node owns it.
func (n *Node) newHosted(name string, game ecs.Game, config ecs.Config) (*hosted, error) {
	game, err := game.With(config.Options)
	if err != nil {
		return nil, err
	}
	h := &hosted{node: n, name: name, game: game, config: config}
	clients, err := session.New(n.door, session.Config{
		Shard: name, Starting: n.config.embedded(), // then no other node can own the shard
		Accounts: n.accounts, Replication: replicationOf(game), Logger: n.config.Logger,
	})
	if err != nil {
		return nil, err
	}
	h.clients = newEventCounter(clients, func() { h.conditions.Clear(shard.Fenced) })
	return h, nil
}

// open opens what the shard's hosts share, and the first host.
func (h *hosted) open(ctx context.Context) (first *hosting, err error) {
	n := h.node
	view := n.member.Shard
	if h.noWait {
		view = n.member.Room
	}
	if h.ownership, err = view(h.name); err != nil {
		return nil, err
	}
	n.awaits(shard.AwaitsEtcd)
	if err := h.inherit(ctx); err != nil {
		return nil, err
	}
	n.awaits(shard.AwaitsNATS)
	sources := intake.NewSources(h.clients, n.config.Logger)
	h.mu.Lock()
	h.sources = sources
	h.mu.Unlock()
	if first, err = h.openHost(ctx); err != nil {
		return nil, err
	}
	h.served, err = n.cluster.Bus.ServeShard(bus.ShardConfig{Shard: h.name, Port: h.sources.Port, Ops: h.ops()})
	if err != nil {
		first.close()
		return nil, err
	}
	return first, nil
}

// ops are the operations that the shard's owner performs for others.
func (h *hosted) ops() map[string]bus.ShardOp {
	ops := map[string]bus.ShardOp{"reload": h.reload, "purge": h.purge, "enter": h.enter}
	if h.noWait { // a standing shard does not end
		ops["close"] = h.closeRoom
	}
	return ops
}

// close ends what open and newHosted have opened.
func (h *hosted) close() {
	if h.served != nil {
		h.served.Close()
	}
	h.node.door.Serve(h.name, nil)
}

// inherit takes over the owner key of a process that has died. This process has the data directory with both servers to
// itself, so any recorded owner of its standing shard died without releasing the shard, and waiting for its lease is unnecessary. A
// room's owner may be a node that uses these servers: what the process before owned went with its lease (etcd.NodeConfig.Heir).
func (h *hosted) inherit(ctx context.Context) error {
	if h.node.infra == nil || h.noWait {
		return nil
	}
	standing, err := h.ownership.Read(ctx)
	if err != nil || standing.Owner == "" {
		return err
	}
	_, err = h.ownership.TakeOver(ctx, standing)
	return err
}

// openHost opens the shard's storage and creates a host on it.
func (h *hosted) openHost(ctx context.Context) (*hosting, error) {
	n, c := h.node, h.node.config
	options := jetstream.Options{Replicas: c.Replicas, LogBytes: c.LogBytes, DeltaBytes: c.DeltaBytes, DeltaAge: c.DeltaAge, NoDeltas: c.NoDeltas}
	if h.noWait { // rooms share streams, with the same limits for each
		options.Shared, options.LogBytes, options.DeltaBytes = true, c.roomBytes, 0
	}
	store, err := openStorage(ctx, n.cluster.NATS, h.ownership, c.Cluster, h.name, options)
	if err != nil {
		return nil, err
	}
	config := shard.HostConfig{
		Game: h.game, Config: h.config, Cluster: c.Cluster, Shard: h.name, Node: c.ID, Lineage: store.Ref().Lineage, Build: n.build,
		Log: store.Log(), Snapshots: store.Snapshots(), Frontend: h.sources, Ownership: h.ownership, Lease: n.member,
		Purge: c.Purge == PurgeAlways, KeepLog: c.Purge == PurgeNever, Limits: h.limits, NoWait: h.noWait, LeaveEnded: h.noWait, Phase: h.phase, Doze: h.noWait,
		StopTimeout: c.patience.stop, Crew: n.crew, Logger: c.Logger,
	}
	if deltas := store.Deltas(); deltas != nil {
		config.Deltas = deltas
	}
	if copies := store.Log().Replicas(); c.Replicas != 0 && copies != c.Replicas {
		h.otherReplicas.Do(func() {
			c.Logger.Warn("the log keeps the number of copies that it was created with: --replicas applies to a new log; nats stream edit changes it", "shard", h.name, "copies", copies, "asked", c.Replicas)
		})
	}
	host, err := h.newHost(config)
	if err != nil {
		store.Close()
		return nil, err
	}
	return &hosting{host: host, store: store}, nil
}

// keep runs one host of the shard after another until ctx ends or shard.Rejoin decides that no later one could serve
// it. The front door stays open between them: clients learn that the shard is not here, and return when it is.
func (h *hosted) keep(ctx context.Context, next *hosting) (err error) {
	var rejoin shard.Rejoin
	told := ""
	var missing shard.ConditionKind
	for {
		var ended shard.Ended
		if next == nil {
			next, ended.Err = h.openHost(ctx)
		}
		ran := next != nil
		if ran {
			h.retry(missing)
			ended = h.run(ctx, next)
			next = nil
		}
		if ctx.Err() != nil && (errors.Is(ended.Err, shard.ErrRefused) || errors.Is(ended.Err, shard.ErrHung)) {
			return ended.Err
		}
		if ctx.Err() != nil {
			return nil // ended by a stop, which is not a failure
		}
		then := rejoin.Next(ended)
		if then.Exit || h.noWait && errors.Is(ended.Err, shard.ErrHalted) {
			return ended.Err
		}
		if missing = h.missed(ended.Err, ran); ended.Err.Error() != told {
			told = ended.Err.Error()
			h.node.config.Logger.Warn("this node will try to run its shard again", "shard", h.name, "pause", then.After, "reason", ended.Err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(then.After):
		}
	}
}

// run runs a host until it ends.
func (h *hosted) run(ctx context.Context, x *hosting) shard.Ended {
	defer x.close()
	h.begin(x.host)
	err := x.host.Run(ctx)
	if errors.Is(err, shard.ErrEnded) {
		h.ended(x)
	}
	return shard.Ended{Err: err, Owned: owned(x.host)}
}

// begin makes a host the current one. It is not inlined, nor is owned, since run waits as long as the host runs.
//
//go:noinline
func (h *hosted) begin(host *shard.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.host != nil {
		before := h.host.Stats()
		before.Add(&h.past)
		h.past = before
	}
	h.host = host
}

// owned returns for how long a host has run the shard.
//
//go:noinline
func owned(host *shard.Host) time.Duration {
	s := host.Stats()
	return time.Duration(s.Ticks) * time.Second / time.Duration(max(s.TickRate, 1))
}

// isOver reports whether a host found the room over.
func (h *hosted) isOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// leave releases the owner key that the host of a room that is over has left.
func (h *hosted) leave() {
	h.mu.Lock()
	epoch := h.epoch
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.node.ctx), endTimeout)
	defer cancel()
	if err := h.ownership.Release(ctx, epoch, true); err != nil {
		h.node.config.Logger.Warn("the owner key is not released; it ends with the lease, unless the node can release it sooner", "shard", h.name, "error", err)
	}
}

// ended reads from the log how the room has ended.
func (h *hosted) ended(x *hosting) {
	h.mu.Lock()
	h.over, h.epoch = true, x.host.Stats().Epoch
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.node.ctx), endTimeout)
	defer cancel()
	end, err := endOf(ctx, x.store.Log(), h.game, h.config)
	if err != nil {
		h.node.config.Logger.Warn("cannot read how the room has ended", "shard", h.name, "error", err)
	}
	if end == nil {
		return
	}
	h.mu.Lock()
	h.end, h.lineage = end, x.store.Ref().Lineage
	h.mu.Unlock()
}

// missed raises the condition that keeps the shard away from this node, and returns its kind. The host shows what ended
// it until the next one runs, so missed raises such a condition only if no host ran, or if it is Fenced, which lasts
// longer.
func (h *hosted) missed(err error, ran bool) shard.ConditionKind {
	kind := shard.ConditionOf(err)
	if kind == "" {
		kind = unanswered(err)
	}
	if kind == shard.Fenced || kind != "" && !ran {
		// A fenced node still does its work: it waits. Its host shows what for.
		h.conditions.Raise(kind, kind != shard.Fenced, shard.Sentence(kind, h.name, err.Error()))
	}
	return kind
}

// retry lets the condition that ended the last host linger before the next one runs. Fenced lasts longer anyway: until
// this node owns the shard again.
func (h *hosted) retry(missing shard.ConditionKind) {
	if missing == "" || missing == shard.Fenced {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var host []shard.Condition
	if h.host != nil {
		host = h.host.Stats().Conditions
	}
	for _, c := range together(h.conditions.List(), host) {
		if c.Kind == missing {
			h.lingers = lingering{c, time.Now().Add(overAfter)}
		}
	}
	h.conditions.Clear(missing)
}

// stats returns the shard's statistics on this node, with the conditions of the shard and its host. began is false until a
// host has run.
func (h *hosted) stats() (s Stats, began bool) {
	s.Clients, s.Events = h.clients.Stats(), h.clients.counts()
	h.mu.Lock()
	defer h.mu.Unlock() // so that no host is counted twice
	if h.host != nil {
		s.Host = h.host.Stats()
	} else {
		s.Host.TickRate = h.game.TickRate // of a new shard
	}
	s.Host.Add(&h.past)
	s.Host.TickRate = cmp.Or(s.Host.TickRate, h.game.TickRate)
	host := h.lingers.with(s.Host.Conditions, s.Host.Phase == shard.PhaseOwn.String(), time.Now())
	s.Conditions = together(h.conditions.List(), host)
	return s, h.host != nil
}

// work returns the milliseconds per second that the shard has taken since the last call. It returns false until the shard has
// worked at both ends of that time.
func (h *hosted) work(now time.Time) (ms float64, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.host == nil {
		return 0, false
	}
	total, before, span := h.host.Work(), h.measured, now.Sub(h.measured.at)
	h.measured.at, h.measured.total = now, total
	if before.total == 0 || total < before.total || span <= 0 { // its first ticks, or another host's
		return 0, false
	}
	return 1000 * float64(total-before.total) / float64(span), true
}

// reload is the owner's side of ReloadShard.
func (h *hosted) reload(ctx context.Context, body []byte) ([]byte, error) {
	r, err := reload.ParseShard(body)
	if err != nil {
		return nil, err
	}
	var told reload.ShardAnswer
	changes := false
	outcome, err := h.sources.Port.Submit(ctx, func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) (commands []ecs.Command, err error) {
		commands, told.Report, err = r.Commands(w, next)
		changes = len(commands) > 0
		return commands, err
	})
	if err != nil {
		return nil, err
	}
	if len(outcome.Failures) > 0 {
		return nil, rpc.Errorf(rpc.FailedPrecondition, "%s", outcome.Failures[0])
	}
	if changes {
		told.Tick = outcome.Tick
	}
	return json.Marshal(told)
}

// closeRequest is the body of a room's operation close.
type closeRequest struct {
	By string `json:"by,omitempty"`
}

// closeRoom is the owner's side of CloseRoom. It answers before the log is sealed: the room's entry says when.
func (h *hosted) closeRoom(ctx context.Context, body []byte) ([]byte, error) {
	var q closeRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "the request to close is not JSON: %v", err)
	}
	h.mu.Lock()
	host := h.host
	h.mu.Unlock()
	if host == nil || !host.Close(ctx, q.By) {
		return nil, rpc.Errorf(rpc.Unavailable, "the room does not run here now")
	}
	return nil, nil
}

// purge is the owner's side of PurgeLog.
func (h *hosted) purge(ctx context.Context, body []byte) ([]byte, error) {
	var q purgeRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "the purge request is not JSON: %v", err)
	}
	h.mu.Lock()
	host := h.host
	h.mu.Unlock()
	if host == nil {
		return nil, rpc.Errorf(rpc.Unavailable, "the shard does not run here yet")
	}
	p, err := host.PurgeLog(ctx, q.DryRun)
	if errors.Is(err, shard.ErrNotProven) {
		return nil, rpc.Errorf(rpc.FailedPrecondition, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(p)
}
