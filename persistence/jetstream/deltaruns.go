package jetstream

import (
	"context"
	"sync"

	"github.com/ferris1/wind/persistence"
)

// run is a message of a partition with several deltas, or with one.
type run struct {
	persistence.DeltaRun
	header persistence.Header
	body   []byte
}

// runs are those that no room needs now.
var runs = sync.Pool{New: func() any { return new(run) }}

// free leaves a run's memory to others.
func (r *run) free() {
	r.Reset()
	runs.Put(r)
}

// publishRuns appends deltas to a partition, as many in one message as it may contain.
func (d *Deltas) publishRuns(ctx context.Context, deltas []persistence.Delta) error {
	for len(deltas) > 0 {
		n, err := d.publishRun(ctx, deltas)
		if err != nil {
			return err
		}
		deltas = deltas[n:]
	}
	d.packer.Rest()
	return nil
}

// publishRun appends the first deltas, and returns how many. If the message may be stored or not, the next call with the same
// deltas publishes the same bytes.
func (d *Deltas) publishRun(ctx context.Context, deltas []persistence.Delta) (int, error) {
	r := d.open
	if r == nil || !r.begins(deltas) {
		r, d.open = runs.Get().(*run), nil
		if err := d.fill(r, deltas); err != nil {
			r.free()
			return 0, err
		}
	}
	n := len(r.Deltas())
	if n == 0 { // the first is too large to share a message
		r.free()
		return 1, d.publish(ctx, &deltas[0])
	}
	if err := d.store(ctx, r.header, r.body); err != nil {
		d.open = r
		d.packer.Restart()
		return 0, err
	}
	d.open = nil
	r.free()
	d.finished(&deltas[n-1])
	return n, d.trim(ctx)
}

// begins reports whether deltas begin with those of the run.
func (r *run) begins(deltas []persistence.Delta) bool {
	own := r.Deltas()
	if len(own) > len(deltas) {
		return false
	}
	for i := range own {
		if !sameDelta(&own[i], &deltas[i]) {
			return false
		}
	}
	return true
}

// fill packs the first deltas into an empty run, none if the first needs its own messages. A run is stored whole or not at
// all, so each delta may build on the one before it.
func (d *Deltas) fill(r *run, deltas []persistence.Delta) error {
	limit := d.payload()
	for i := range deltas {
		packed, err := d.pack(&deltas[i])
		if err != nil && i > 0 {
			break // it is the next message's error
		}
		if err != nil {
			return err
		}
		if !r.Add(packed, limit) {
			break // packed again, it has the same bytes
		}
		d.packer.Stored()
	}
	if len(r.Deltas()) == 0 {
		return nil
	}
	var err error
	r.header = persistence.DeltasHeader(r.Deltas())
	if r.body, err = persistence.EncodeDeltas(r.body[:0], r.Deltas()); err != nil {
		d.packer.Restart()
	}
	return err
}
