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

// Every change of a key is a revision, which etcd keeps until somebody compacts: a shard's notes of its last sequence, one a
// second, are some 20 MB a day. An embedded server compacts by itself. Of another one a node finds out whether anybody does.
// Where nobody does, notes are written every slowNotes only, the node says so, and with NodeConfig.Compact it compacts, which
// is for all of that etcd: a watch of another program that lags by more than compactAfter would have to begin anew.
const (
	manyRevisions = 20_000 // that nobody compacted: even a busy cluster with periodic compaction was there before
	slowNotes     = 10 * time.Second
	tendEvery     = time.Minute
	compactAfter  = 5 * time.Minute
)

// Space is what the keys of an etcd take.
type Space struct {
	Bytes    int64 // of the database, the largest of the servers'
	Quota    int64 // it takes no keys beyond; 0: the server does not say
	Full     bool  // the quota was reached: until somebody makes room and disarms the alarm, no key can be written
	Kept     int64 // revisions so far
	Compacts bool  // somebody compacts, or too few revisions were made to tell
}

// Advice is what to do about it, "" for nothing.
func (s Space) Advice() string {
	const compact = "set --auto-compaction-retention on etcd's servers, or give the nodes --etcd-compact when that etcd is Wind's alone"
	switch {
	case s.Full:
		return "it is full and takes no keys: compact it (etcdctl compact, defrag), then etcdctl alarm disarm; and " + compact
	case s.Quota > 0 && s.Bytes > s.Quota/10*8:
		return fmt.Sprintf("%d %% of its quota is used: compact and defragment it (etcdctl compact, defrag), or raise --quota-backend-bytes", s.Bytes*100/s.Quota)
	case !s.Compacts:
		return fmt.Sprintf("nobody compacts it, it keeps all of its %d revisions: %s", s.Kept, compact)
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
		return s, fmt.Errorf("etcd: cannot ask for its first revision: %w", err)
	}
	s.Kept = got.Header.Revision
	s.Compacts = s.Kept < manyRevisions
	return s, nil
}

// tend looks after the room in etcd until ctx ends.
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

// tending is what a node knows of the room in etcd.
type tending struct {
	node  *Node
	told  string
	known []seenRevision // the oldest first
}

type seenRevision struct {
	revision int64
	at       time.Time
}

// look takes one look, and compacts where the node may.
func (t *tending) look(ctx context.Context) {
	n := t.node
	s, err := SpaceOf(ctx, n.client)
	if err != nil {
		return // what else the node asks says that etcd is away
	}
	n.crowded.Store(!s.Compacts || s.Full)
	advice := s.Advice()
	if advice != "" && advice != t.told && !n.cfg.Compact {
		n.cfg.Logger.Warn("etcd fills", "advice", advice, "notes every", slowNotes)
	}
	t.told = advice
	if n.cfg.Compact {
		if err := t.compact(ctx, time.Now()); err != nil {
			n.cfg.Logger.Warn("etcd was not compacted", "error", err)
		}
	}
}

// compact drops the revisions that are older than compactAfter.
func (t *tending) compact(ctx context.Context, now time.Time) (err error) {
	ctx, end := asks(ctx, "compact")
	defer end(&err)
	got, err := t.node.client.Get(ctx, "/wind/", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("etcd: cannot ask for its revision: %w", err)
	}
	t.known = append(t.known, seenRevision{got.Header.Revision, now})
	old := int64(0)
	for len(t.known) > 0 && now.Sub(t.known[0].at) >= compactAfter {
		old, t.known = t.known[0].revision, t.known[1:]
	}
	if old == 0 {
		return nil
	}
	if _, err := t.node.client.Compact(ctx, old); err != nil && !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, rpctypes.ErrFutureRev) { // another node was faster, or etcd is another
		return fmt.Errorf("etcd: cannot compact up to revision %d: %w", old, err)
	}
	return nil
}
