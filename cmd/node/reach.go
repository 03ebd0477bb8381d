package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
)

// reachEvery is how often a node without a shard checks whether its servers answer.
const reachEvery = 500 * time.Millisecond

// watchServers raises a condition while NATS or etcd does not answer a node without a shard. The host of a shard reports
// its own waits. Without NATS no request arrives; without etcd the node still serves, by the last known state of the
// directory.
func (n *Node) watchServers() {
	n.probes.Store(true)
	n.alongside(func(ctx context.Context) {
		defer n.probes.Store(false)
		n.reachNATS(ctx)
	})
	n.alongside(func(ctx context.Context) {
		every(ctx, reachEvery, func() {
			lease := n.member.State()
			what := "etcd has not renewed the lease since " + lease.Sent.Format(time.TimeOnly)
			n.reached(shard.AwaitsEtcd, false, time.Since(lease.Sent) < max(wait.Patience, lease.TTL/2), what, lease.Sent)
		})
	})
}

// reachNATS asks NATS for an answer again and again: a connection to a server that stands still looks intact.
func (n *Node) reachNATS(ctx context.Context) {
	last := time.Now() // when the last ping that was answered was sent
	every(ctx, reachEvery, func() {
		asked := time.Now()
		err := n.cluster.NATS.Ping(ctx, wait.Patience)
		if err == nil {
			last = asked
		}
		if ctx.Err() == nil {
			n.reached(shard.AwaitsNATS, true, time.Since(last) < wait.Patience, fmt.Sprintf("NATS has not answered since %s (%v)", last.Format(time.TimeOnly), err), last)
		}
	})
}

// reached raises or clears the condition of a server that has not answered since a moment.
func (n *Node) reached(kind shard.ConditionKind, stops, ok bool, what string, since time.Time) {
	if ok {
		n.conditions.Clear(kind)
		return
	}
	text := shard.Sentence(kind, n.config.Shard, fmt.Sprintf("node %s: %s", n.config.ID, what))
	n.conditions.RaiseSince(kind, stops, text, since)
}
