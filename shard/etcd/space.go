package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Every change of a key is a revision, which etcd keeps until it is compacted: a shard's notes of its last sequence,
// one a second, amount to some 20 MB a day. An embedded server compacts automatically. For another etcd, a node finds
// out whether anybody compacts it. If nobody does, the node logs a warning and writes notes only every slowNotes. With
// NodeConfig.Compact the node compacts, which affects all of that etcd: a watch of another program that lags by more
// than compactAfter would have to start over.
const (
	manyRevisions = 20_000 // first compaction due: even a busy cluster with periodic compaction has had one by then
	slowNotes     = 10 * time.Second
	tendEvery     = time.Minute
	compactAfter  = 5 * time.Minute
)

// Space describes how much room the keys of an etcd take.
type Space struct {
	Bytes    int64 // size of the largest database among the servers
	Quota    int64 // beyond it etcd accepts no keys; 0: the server does not report it
	Full     bool  // the quota was reached: no key can be written until an operator makes room and disarms the alarm
	Kept     int64 // revisions so far
	Compacts bool  // somebody compacts, or there are too few revisions to tell
}

// Advice returns what an operator should do, or "" if nothing.
func (s Space) Advice() string {
	const compact = "set --auto-compaction-retention on etcd's servers, or give the nodes --etcd-compact if only Wind uses that etcd"
	switch {
	case s.Full:
		return "it is full and accepts no keys: compact it (etcdctl compact, defrag), then etcdctl alarm disarm; and " + compact
	case s.Quota > 0 && s.Bytes > s.Quota/10*8:
		return fmt.Sprintf("%d %% of its quota is used: compact and defragment it (etcdctl compact, defrag), or raise --quota-backend-bytes", s.Bytes*100/s.Quota)
	case !s.Compacts:
		return fmt.Sprintf("nobody compacts it, so it keeps all of its %d revisions: %s", s.Kept, compact)
	}
	return ""
}

// SpaceOf asks an etcd how much room it has.
func SpaceOf(ctx context.Context, client *Client) (s Space, err error) {
	ctx, end := asks(ctx, "say how much room it has")
	defer end(&err)
	for _, endpoint := range client.Endpoints() {
		got, err := client.Status(ctx, endpoint)
		if err != nil {
			return s, fmt.Errorf("etcd: cannot ask %s how much room it has: %w", endpoint, err)
		}
		s.Bytes, s.Quota = max(s.Bytes, got.DbSize), max(s.Quota, got.DbSizeQuota)
	}
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		return s, fmt.Errorf("etcd: cannot list its alarms: %w", err)
	}
	for _, a := range alarms.Alarms {
		s.Full = s.Full || a.Alarm == etcdserverpb.AlarmType_NOSPACE
	}
	got, err := client.Get(ctx, "/wind/", clientv3.WithRev(1), clientv3.WithCountOnly())
	if errors.Is(err, rpctypes.ErrCompacted) {
		s.Compacts = true
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("etcd: cannot read its first revision: %w", err)
	}
	s.Kept = got.Header.Revision
	s.Compacts = s.Kept < manyRevisions
	return s, nil
}

// tend checks the room in etcd every tendEvery until ctx ends.
func (n *Node) tend(ctx context.Context) {
	every := time.NewTicker(tendEvery)
	defer every.Stop()
	t := tending{node: n}
	for {
		t.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// tending is a node's record of the room in etcd.
type tending struct {
	node  *Node
	told  string
	known []seenRevision // oldest first
}

type seenRevision struct {
	revision int64
	at       time.Time
}

// look checks the room once, and compacts if the node may.
func (t *tending) look(ctx context.Context) {
	n := t.node
	s, err := SpaceOf(ctx, n.client)
	if err != nil {
		return // other calls of the node report that etcd is down
	}
	n.crowded.Store(!s.Compacts || s.Full)
	advice := s.Advice()
	if advice != "" && advice != t.told && !n.cfg.Compact {
		n.cfg.Logger.Warn("etcd is filling up", "advice", advice, "notes every", slowNotes)
	}
	t.told = advice
	if n.cfg.Compact {
		if err := t.compact(ctx, time.Now()); err != nil {
			n.cfg.Logger.Warn("cannot compact etcd", "error", err)
		}
	}
}

// compact compacts the revisions that are older than compactAfter.
func (t *tending) compact(ctx context.Context, now time.Time) (err error) {
	ctx, end := asks(ctx, "compact")
	defer end(&err)
	got, err := t.node.client.Get(ctx, "/wind/", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("etcd: cannot read its revision: %w", err)
	}
	t.known = append(t.known, seenRevision{got.Header.Revision, now})
	old := int64(0)
	for len(t.known) > 0 && now.Sub(t.known[0].at) >= compactAfter {
		old, t.known = t.known[0].revision, t.known[1:]
	}
	if old == 0 {
		return nil
	}
	if _, err := t.node.client.Compact(ctx, old); err != nil && !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, rpctypes.ErrFutureRev) { // another node was faster, or etcd was replaced
		return fmt.Errorf("etcd: cannot compact up to revision %d: %w", old, err)
	}
	return nil
}
