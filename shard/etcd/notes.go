package etcd

import (
	"context"
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
	defer n.notes.mu.Unlock()
	n.notes.waiting = append(n.notes.waiting, note{s, m, done})
	if !n.notes.writing {
		n.notes.writing = true
		n.done.Go(n.writeNotes)
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

// writeSome writes marks in one transaction, if none of their keys has changed since this node wrote it. Otherwise it looks at each.
func (n *Node) writeSome(ctx context.Context, batch []note) {
	written, err := n.together(ctx, batch)
	for i := range batch {
		b := &batch[i]
		if err == nil && !written {
			b.done(b.shard.raiseAlone(ctx, b.mark))
			continue
		}
		b.done(err)
	}
}

func (n *Node) together(ctx context.Context, batch []note) (written bool, err error) {
	ctx, end := asks(ctx, "write notes of the rooms of node "+n.cfg.ID)
	defer end(&err)
	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	now := time.Now().UTC()
	for i := range batch {
		s, m := batch[i].shard, batch[i].mark
		at := s.marked.Load()
		if at == 0 {
			return false, nil // this node has not written it yet
		}
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(s.prefix+"high"), "=", at))
		puts = append(puts, s.put("high", markValue{Seq: m.Seq, Epoch: m.Epoch, At: now}))
	}
	got, err := n.client.Txn(ctx).If(unchanged...).Then(puts...).Commit()
	if err != nil {
		return false, batch[0].shard.wrap("note the last sequence, with others, of", err)
	}
	if got.Succeeded {
		for i := range batch {
			batch[i].shard.marked.Store(got.Header.Revision)
		}
	}
	return got.Succeeded, nil
}

func (s *Shard) raiseAlone(ctx context.Context, m persistence.Mark) (err error) {
	ctx, end := s.asks(ctx, "write a note of")
	defer end(&err)
	return s.raise(ctx, m)
}
