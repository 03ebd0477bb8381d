package etcd

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard"
)

// probeEvery is how often Await reads the shard, in addition to its watch.
const probeEvery = 3 * time.Second

// Await blocks until the owner key of st is deleted or replaced, or the halt of the shard changes. It watches and also
// polls: a watch reports nothing while etcd is down, and never again if etcd was restored from a backup, where the
// revision that the watch waits for lies in the future. An error means that the wait broke off.
func (s *Shard) Await(ctx context.Context, st shard.Standing) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watched := make(chan error, 1)
	watching.Go(func() { watched <- s.watch(ctx, st) })
	return s.await(ctx, st, watched)
}

// await returns nil once the wait is over, or the error that broke it off.
func (s *Shard) await(ctx context.Context, st shard.Standing, watched <-chan error) error {
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	last := st.Revision
	for {
		select {
		case err := <-watched:
			return err
		case <-ctx.Done():
			return s.wrap("watch", ctx.Err())
		case <-probe.C:
		}
		now, err := s.Read(ctx)
		switch {
		case err != nil:
			return err
		case now.Revision < last:
			return fmt.Errorf("etcd: cannot watch shard %s: etcd has lost data: its revision went back from %d to %d (was it restored from a backup?)", s.name, last, now.Revision)
		case st.Owner != "" && now.Owner == "" || now.OwnerLease != st.OwnerLease || now.Halted != st.Halted:
			return nil
		}
		last = now.Revision
	}
}

// watch returns nil when the event that Await waits for arrives.
func (s *Shard) watch(ctx context.Context, st shard.Standing) error {
	for answer := range s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(st.Revision+1)) {
		if err := answer.Err(); err != nil {
			return s.wrap("watch", err)
		}
		for _, ev := range answer.Events {
			key := strings.TrimPrefix(string(ev.Kv.Key), s.prefix)
			if key == "owner" && ev.Type == mvccpb.DELETE || key == "halted" {
				return nil
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return s.wrap("watch", err)
	}
	return fmt.Errorf("etcd: the watch on shard %s ended", s.name)
}
