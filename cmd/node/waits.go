package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/ferris1/wind/persistence/wait"
	"github.com/ferris1/wind/shard"
)

// waits returns the conditions for the calls that the node waits for now: the oldest for each server. It omits kinds in
// known, as a shard's host reports its own waits.
func (n *Node) waits(known []shard.Condition, starting bool) (all []shard.Condition) {
	for _, w := range n.waiting.Calls() {
		kind := shard.AwaitsNATS
		if w.Server == wait.Etcd {
			kind = shard.AwaitsEtcd
		}
		is := func(c shard.Condition) bool { return c.Kind == kind }
		if slices.ContainsFunc(known, is) || slices.ContainsFunc(all, is) {
			continue
		}
		what := fmt.Sprintf("node %s waits for %s since %s (%s)", n.config.ID, w.Server, w.Since.Format(time.TimeOnly), w.What)
		all = append(all, shard.Condition{Kind: kind, Text: shard.Sentence(kind, n.config.Shard, what), Since: w.Since, Stops: starting && !n.config.NoShard})
	}
	return all
}
