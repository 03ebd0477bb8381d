package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// hosting is a host of the shard with its storage. Each attempt to own the shard has its own: a host runs only once,
// and an outage may have replaced the log.
type hosting struct {
	host  *shard.Host
	store *jetstream.Shard
}

func (h *hosting) close() { h.store.Close() }

// openHost opens the shard's storage and creates a host on it, behind the node's only front door.
func (n *Node) openHost(ctx context.Context) (*hosting, error) {
	c := n.config
	store, err := openStorage(ctx, n.cluster.NATS, n.ownership, c.Cluster, c.Shard, jetstream.Options{Replicas: c.Replicas, LogBytes: c.LogBytes, DeltaBytes: c.DeltaBytes, DeltaAge: c.DeltaAge, NoDeltas: c.NoDeltas})
	if err != nil {
		return nil, err
	}
	config := shard.HostConfig{
		Game: c.Game, Config: ecs.Config{Options: c.Options}, Cluster: c.Cluster, Shard: c.Shard, Node: c.ID, Lineage: store.Ref().Lineage, Build: ThisBuild(c.Game),
		Log: store.Log(), Snapshots: store.Snapshots(), Frontend: n.sources, Ownership: n.ownership, Lease: n.member, Purge: c.Purge == PurgeAlways, KeepLog: c.Purge == PurgeNever, Logger: c.Logger,
	}
	if deltas := store.Deltas(); deltas != nil {
		config.Deltas = deltas
	}
	if copies := store.Log().Replicas(); c.Replicas != 0 && copies != c.Replicas {
		n.otherReplicas.Do(func() {
			c.Logger.Warn("the log keeps the number of copies that it was created with: --replicas applies to a new log; nats stream edit changes it", "shard", c.Shard, "copies", copies, "asked", c.Replicas)
		})
	}
	if c.Seed != nil {
		config.Config.Seed = *c.Seed
	}
	host, err := shard.New(config)
	if err != nil {
		store.Close()
		return nil, err
	}
	return &hosting{host: host, store: store}, nil
}

// keep runs one host of the shard after another until ctx ends or shard.Rejoin decides that no later one could serve
// it. The front door stays open between them: clients learn that the shard is not here, and return when it is.
func (n *Node) keep(ctx context.Context, next *hosting) (err error) {
	var rejoin shard.Rejoin
	told := ""
	var missing shard.ConditionKind
	for {
		var ended shard.Ended
		if next == nil {
			next, ended.Err = n.openHost(ctx)
		}
		ran := next != nil
		if ran {
			n.retry(missing)
			ended = n.runHost(ctx, next)
			next = nil
		}
		if ctx.Err() != nil && (errors.Is(ended.Err, shard.ErrRefused) || errors.Is(ended.Err, shard.ErrHung)) {
			return ended.Err
		}
		if ctx.Err() != nil {
			return nil // ended by a stop, which is not a failure
		}
		then := rejoin.Next(ended)
		if then.Exit {
			return ended.Err
		}
		if missing = n.missed(ended.Err, ran); ended.Err.Error() != told {
			told = ended.Err.Error()
			n.config.Logger.Warn("this node will try to run its shard again", "shard", n.config.Shard, "pause", then.After, "reason", ended.Err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(then.After):
		}
	}
}

// runHost runs a host until it ends.
func (n *Node) runHost(ctx context.Context, h *hosting) shard.Ended {
	defer h.close()
	n.mu.Lock()
	if n.host != nil {
		before := n.host.Stats()
		before.Add(&n.past)
		n.past = before
	}
	n.host = h.host
	n.mu.Unlock()
	err := h.host.Run(ctx)
	s := h.host.Stats()
	return shard.Ended{Err: err, Owned: time.Duration(s.Ticks) * time.Second / time.Duration(max(s.TickRate, 1))}
}

// missed raises the condition that keeps the shard away from this node, and returns its kind. The host shows what ended
// it until the next one runs, so missed raises such a condition only if no host ran, or if it is Fenced, which lasts
// longer.
func (n *Node) missed(err error, ran bool) shard.ConditionKind {
	kind := shard.ConditionOf(err)
	if kind == "" {
		kind = unanswered(err)
	}
	if kind == shard.Fenced || kind != "" && !ran {
		// A fenced node still does its work: it waits. Its host shows what for.
		n.conditions.Raise(kind, kind != shard.Fenced, shard.Sentence(kind, n.config.Shard, err.Error()))
	}
	return kind
}

// Unanswered returns the condition for an error of a server that does not answer, or "" for any other error and for nil.
func Unanswered(err error) shard.ConditionKind {
	if err == nil {
		return ""
	}
	return unanswered(err)
}

// unanswered returns the condition for an error of a server that does not answer, or "" for any other error.
func unanswered(err error) shard.ConditionKind {
	var late *wait.Error
	switch {
	case errors.As(err, &late) && late.Server == wait.Etcd:
		return shard.AwaitsEtcd
	case late != nil, jetstream.Unanswered(err):
		return shard.AwaitsNATS
	case etcd.Unanswered(err):
		return shard.AwaitsEtcd
	}
	return ""
}

// Timing of a start's waits.
const (
	sayAfter    = 2 * time.Second        // before a wait becomes a condition
	startPauses = 100 * time.Millisecond // the first pause; doubles up to startPause
	startPause  = 2 * time.Second
)

// startAwaits are the conditions during which a start waits.
var startAwaits = []shard.ConditionKind{shard.AwaitsNATS, shard.AwaitsEtcd, shard.HistoryLost}

// ErrInterrupted reports that the context of a start ended while it waited for NATS, etcd or room on the disk.
var ErrInterrupted = errors.New("stopped before it began")

// awaits records which server the current step of the start waits for; "" if it waits for neither.
func (n *Node) awaits(kind shard.ConditionKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.awaited = kind
}

// patiently repeats a step of the start while servers do not answer: servers that are down or elect a leader come back,
// and the node starts then. Any other error ends it at once.
func (n *Node) patiently(ctx context.Context, step func(context.Context) error) error {
	open, pause, began := len(n.closers), startPauses, time.Now()
	var last error
	say := func() {
		n.mu.Lock()
		for _, kind := range []shard.ConditionKind{unanswered(last), shard.ConditionOf(last)} {
			if kind != "" {
				n.awaited = kind
			}
		}
		kind, why := n.awaited, map[shard.ConditionKind]string{shard.AwaitsNATS: "NATS does not answer", shard.AwaitsEtcd: "etcd does not answer"}[n.awaited]
		if last != nil {
			why = last.Error()
		}
		n.mu.Unlock()
		if kind == "" {
			return
		}
		text := shard.Sentence(kind, n.config.Shard, fmt.Sprintf("node %s has been unable to start since %s: %s", n.config.ID, began.Format(time.TimeOnly), why))
		for _, other := range startAwaits {
			if other != kind {
				n.conditions.Clear(other)
			}
		}
		n.conditions.Raise(kind, true, text)
	}
	timer := time.AfterFunc(sayAfter, say)
	defer func() {
		timer.Stop()
		n.conditions.Clear(startAwaits...)
	}()
	for {
		err := step(ctx)
		if err == nil {
			if waited := time.Since(began); waited > sayAfter {
				n.config.Logger.Info("NATS and etcd answer: the node starts", "waited", waited.Round(time.Millisecond))
			}
			return nil
		}
		if closeErr := n.closeTo(open); closeErr != nil {
			n.config.Logger.Debug("cannot close what an attempt to start had opened", "error", closeErr)
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrInterrupted, err)
		case !passes(err):
			return err
		case n.config.Patience > 0 && time.Since(began) > n.config.Patience:
			return fmt.Errorf("given up after %s: %w", n.config.Patience, err)
		}
		n.mu.Lock()
		last = err
		n.mu.Unlock()
		if time.Since(began) > sayAfter {
			say()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrInterrupted, err)
		case <-time.After(pause):
		}
		pause = min(2*pause, startPause)
	}
}

// passes reports whether a later attempt may succeed after an error of a start. It includes a lost log, which an
// operator may restore.
func passes(err error) bool {
	return errors.Is(err, persistence.ErrLost) || unanswered(err) != ""
}
