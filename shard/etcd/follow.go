package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// publishEvery bounds how often lookups get a new view, so that a thousand instances that report every second cost
	// fifty views of them, not a thousand. After a quiet time the first change is seen at once.
	publishEvery = 20 * time.Millisecond
	// rotateEvery is when a placed player is forgotten at the latest, counted twice, where no report comes.
	rotateEvery = 2 * time.Second
	// probeEvery is how often the directory asks whether etcd is there and still has what it had: the watch alone says
	// nothing while nothing changes.
	probeEvery = 3 * time.Second
	// retryEvery is the pause between attempts to read the directory after the watch broke.
	retryEvery = 500 * time.Millisecond
)

// run follows the directory, and reads all of it again whenever the watch breaks.
func (d *Directory) run(ctx context.Context) {
	for {
		err := d.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		d.log.Info("the watch on the services broke, all of them are read again", "error", err)
		for {
			err := d.list(ctx)
			if ctx.Err() != nil {
				return
			}
			d.heard(err)
			if err == nil {
				break
			}
			d.forget(time.Now())
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryEvery):
			}
		}
		d.publish()
	}
}

// follow takes in what the watch says, behind what is known, until it breaks.
func (d *Directory) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var probing sync.WaitGroup
	defer probing.Wait()
	defer cancel()
	late := time.AfterFunc(callTimeout, cancel) // Watch waits until etcd has begun
	events := d.client.Watch(ctx, d.prefix, clientv3.WithPrefix(), clientv3.WithRev(d.revision+1))
	if !late.Stop() {
		return errors.New("it did not begin in time")
	}
	probes, last := make(chan pulse), d.revision
	probing.Go(func() { d.probe(ctx, last, probes) })
	tick := time.NewTicker(rotateEvery / 4)
	defer tick.Stop()
	var published time.Time
	var soon <-chan time.Time
	for {
		select {
		case answer, ok := <-events:
			if !ok {
				return errors.New("it ended")
			}
			if err := answer.Err(); err != nil {
				return err
			}
			d.take(answer)
			if soon == nil {
				soon = time.After(time.Until(published.Add(publishEvery)))
			}
		case <-soon:
			d.publish()
			soon, published = nil, time.Now()
		case p := <-probes:
			if err := d.heed(p); err != nil {
				return err
			}
		case now := <-tick.C:
			d.forget(now)
		}
	}
}

// take takes in the events of one answer.
func (d *Directory) take(answer clientv3.WatchResponse) {
	for _, ev := range answer.Events {
		if ev.Type == mvccpb.DELETE {
			d.remove(string(ev.Kv.Key))
		} else {
			d.set(ev.Kv)
		}
	}
	d.revision = max(d.revision, answer.Header.Revision)
}

// pulse says how etcd is.
type pulse struct {
	lost bool // its revision went back: it is another than it was
	err  error
}

// probe asks now and then until ctx ends. The last known revision of etcd is given.
func (d *Directory) probe(ctx context.Context, last int64, out chan<- pulse) {
	every := time.NewTicker(probeEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		asked, end := asks(ctx, "answer a probe of the directory "+d.prefix)
		got, err := d.client.Get(asked, d.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		end(&err)
		p := pulse{err: err}
		if err == nil {
			p.lost, last = got.Header.Revision < last, got.Header.Revision
		}
		select {
		case <-ctx.Done():
			return
		case out <- p:
		}
	}
}

// heed returns an error when the directory must be read again: etcd was away, or is another than it was.
func (d *Directory) heed(p pulse) error {
	was := d.away
	d.heard(p.err)
	switch {
	case p.err != nil:
		return nil // the watch may yet go on
	case was:
		return errors.New("etcd was away")
	case p.lost:
		return errors.New("etcd has lost what it had, its revision went back")
	}
	return nil
}

// heard notes whether etcd answered, and says it when that changed.
func (d *Directory) heard(err error) {
	away := err != nil
	if away == d.away {
		return
	}
	if d.away = away; away {
		d.log.Warn("etcd does not answer, the services stay as they were known last", "directory", d.prefix, "error", err)
	} else {
		d.log.Info("etcd answers again", "directory", d.prefix)
	}
}

// forget rotates the placed players of the instances that do not report.
func (d *Directory) forget(now time.Time) {
	if now.Sub(d.rotated) < rotateEvery {
		return
	}
	d.rotated = now
	for _, r := range d.known {
		r.placed.rotate()
	}
}
