package discovery

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// publishEvery bounds how often lookups get a new view, so that a thousand instances that report every second cost
	// fifty views, not a thousand. After a quiet period, the first change is visible at once.
	publishEvery = 20 * time.Millisecond
	// rotateEvery is half the longest time for which a placed player counts, if no report arrives.
	rotateEvery = 2 * time.Second
	// probeEvery is how often the directory checks that its source answers and has not lost its data: the watch alone
	// is silent while nothing changes.
	probeEvery = 3 * time.Second
	// retryEvery is the pause between attempts to read the directory after the watch broke.
	retryEvery = 500 * time.Millisecond
)

// run follows the source, and reads all entries again whenever the watch breaks.
func (d *Directory) run(ctx context.Context) {
	for {
		err := d.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		d.log.Info("the watch on the services broke; the directory reads all of them again", "error", err)
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

// follow applies the watch's changes until it breaks, and returns the reason.
func (d *Directory) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	changes, broke, probes, last := make(chan Changes), make(chan error, 1), make(chan Pulse), d.revision
	helpers.Go(func() { broke <- d.source.Watch(ctx, last, func(c Changes) { send(ctx, changes, c) }) })
	helpers.Go(func() { Probe(ctx, d.source, last, func(p Pulse) { send(ctx, probes, p) }) })
	tick := time.NewTicker(rotateEvery / 4)
	defer tick.Stop()
	var published time.Time
	var soon <-chan time.Time
	for {
		select {
		case err := <-broke:
			return err
		case c := <-changes:
			d.take(c)
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

// send sends a value, unless ctx ends first.
func send[T any](ctx context.Context, to chan<- T, value T) {
	select {
	case <-ctx.Done():
	case to <- value:
	}
}

// Pulse is the result of a probe of a source.
type Pulse struct {
	Lost bool // its revision went back: it has lost data
	Err  error
}

// Probe asks a source for its revision every few seconds, until ctx ends, and calls f with each answer. last is the last known
// revision. Run it beside a watch, which says nothing while nothing changes, and never says anything again once the source was
// restored from a backup: the revision that the watch waits for lies in the future then.
func Probe(ctx context.Context, source Source, last int64, f func(Pulse)) {
	every := time.NewTicker(probeEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now, err := source.Revision(ctx)
		if ctx.Err() != nil {
			return // whoever follows the source has ended meanwhile
		}
		p := Pulse{Err: err}
		if err == nil {
			p.Lost, last = now < last, now
		}
		f(p)
	}
}

// heed returns an error if the directory must be read again: the source was away, or has lost data.
func (d *Directory) heed(p Pulse) error {
	was := d.away
	d.heard(p.Err)
	switch {
	case p.Err != nil:
		return nil // the watch may still continue
	case was:
		return errors.New("its source was away")
	case p.Lost:
		return errors.New("its source has lost data: its revision went back")
	}
	return nil
}

// heard records whether the source answered, and logs a change.
func (d *Directory) heard(err error) {
	away := err != nil
	if away == d.away {
		return
	}
	if d.away = away; away {
		d.log.Warn("the directory of services does not answer; its last known state stays valid", "directory", d.source, "error", err)
	} else {
		d.log.Info("the directory of services answers again", "directory", d.source)
	}
}

// forget rotates the counts of placed players of all instances every rotateEvery, so that they expire without reports.
func (d *Directory) forget(now time.Time) {
	if now.Sub(d.rotated) < rotateEvery {
		return
	}
	d.rotated = now
	for _, r := range d.known {
		r.placed.rotate()
	}
}
