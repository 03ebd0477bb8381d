package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
)

// notes are the high-water marks that the shards of a node want to have noted. Those of many shards share a transaction.
type notes struct {
	mu      sync.Mutex
	waiting []note
	writing bool // a goroutine writes them
}

type note struct {
	shard *Shard
	born  int64 // the shard's, when it wanted the mark noted
	mark  persistence.Mark
	done  func(error)
}

const (
	gatherNotes = time.Second // a mark waits so long for others
	mostNotes   = 100         // of a transaction; etcd's default limit is 128 operations
)

// NoteSoon implements shard.Notary: it writes a mark within seconds, with those of the node's other shards.
func (s *Shard) NoteSoon(m persistence.Mark, done func(error)) {
	n := s.node
	n.notes.mu.Lock()
	n.notes.waiting = append(n.notes.waiting, note{s, s.born.Load(), m, done})
	first := !n.notes.writing
	n.notes.writing = true
	n.notes.mu.Unlock()
	if first && !n.begin(n.writeNotes) {
		n.writeNotes() // the node is closed: it only says so
	}
}

// writeNotes writes marks until none waits.
func (n *Node) writeNotes() {
	for {
		select {
		case <-time.After(gatherNotes):
		case <-n.running.Done():
		}
		for batch := n.someNotes(); len(batch) > 0; batch = n.someNotes() {
			n.writeSome(n.running, batch)
		}
		n.notes.mu.Lock()
		if over := len(n.notes.waiting) == 0; over {
			n.notes.writing = false
			n.notes.mu.Unlock()
			return
		}
		n.notes.mu.Unlock()
	}
}

// someNotes takes the next marks to write.
func (n *Node) someNotes() []note {
	n.notes.mu.Lock()
	defer n.notes.mu.Unlock()
	all := n.notes.waiting
	k := min(len(all), mostNotes)
	if n.notes.waiting = all[k:]; k == len(all) {
		n.notes.waiting = nil
	}
	return all[:k:k]
}

// writeSome writes marks in one transaction, if none of their keys has changed since this node wrote it. Otherwise it looks at
// each.
func (n *Node) writeSome(ctx context.Context, batch []note) {
	written, err := n.together(ctx, batch)
	for i := range batch {
		b := &batch[i]
		if err == nil && !written {
			b.done(b.shard.raiseAlone(ctx, b.born, b.mark))
			continue
		}
		b.done(err)
	}
}

// together writes marks in one transaction. It returns false if one of their keys is not as this node left it.
func (n *Node) together(ctx context.Context, batch []note) (written bool, err error) {
	ctx, end := asks(ctx, "write notes of the rooms of node "+n.cfg.ID)
	defer end(&err)
	type change struct {
		note
		before *marked
	}
	changes := map[string]change{} // by shard: of a host that has ended and of the next one, the later mark
	for _, b := range batch {
		before := b.shard.marked.Load()
		if before == nil {
			return false, nil // this node has not written it yet
		}
		other := marked{mark: changes[b.shard.name].mark}
		if before.covers(b.mark) || other.covers(b.mark) { // it was noted alone meanwhile, as the room's end is
			continue
		}
		changes[b.shard.name] = change{b, before}
	}
	if len(changes) == 0 {
		return true, nil
	}
	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	now := time.Now().UTC()
	for _, c := range changes {
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(c.shard.prefix+"high"), "=", c.before.revision))
		puts = append(puts, c.shard.put("high", markValue{Seq: c.mark.Seq, Epoch: c.mark.Epoch, At: now}))
	}
	got, err := n.client.Txn(ctx).If(unchanged...).Then(puts...).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: cannot note the last sequences of %d shards: %w", len(changes), err)
	}
	if got.Succeeded {
		for _, c := range changes {
			c.shard.marked.CompareAndSwap(c.before, &marked{c.mark, got.Header.Revision}) // unless it was noted alone meanwhile
		}
	}
	return got.Succeeded, nil
}

func (s *Shard) raiseAlone(ctx context.Context, born int64, m persistence.Mark) (err error) {
	ctx, end := s.asks(ctx, "write a note of")
	defer end(&err)
	return s.raise(ctx, born, m)
}
