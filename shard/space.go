package shard

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/persistence"
)

// A log keeps all its records until it is nearly full. Then the oldest are removed, as far as two proven snapshots replace
// them, down to a share of the limit. Replays can go back less far; recoveries lose nothing.
const (
	warnPercent  = 80 // from here on an operator is warned and the oldest records are removed,
	roomyPercent = 60 // down to here
	fullPercent  = 95 // above this, no node claims a shard whose log may not be purged
)

// over reports whether a log is filled beyond a share of its limit.
func (t *Tail) over(percent int64) bool {
	return t.LimitBytes > 0 && t.UsedBytes > t.LimitBytes/100*percent
}

// floor returns the sequence below which records must go for the log to shrink to roomyPercent, assuming equal lengths.
func (t *Tail) floor() persistence.Seq {
	if t.UsedBytes <= 0 || t.First == 0 || t.Last < t.First {
		return 0
	}
	surplus := t.UsedBytes - t.LimitBytes/100*roomyPercent
	return t.First + persistence.Seq(float64(t.Last-t.First+1)*float64(surplus)/float64(t.UsedBytes))
}

// mayPurge returns the sequence below which the log may be purged to make room, 0 if it may not or need not.
func (o *Owner) mayPurge(t *Tail) persistence.Seq {
	if o.cfg.KeepLog || len(o.verified) < 2 || !t.over(warnPercent) {
		return 0
	}
	below := min(t.floor(), o.verified[1].Seq)
	if below <= t.First {
		return 0
	}
	return below
}

// measure handles a measurement of how full the log is.
func (o *Owner) measure(t Tail) {
	if o.phase != PhaseOwn {
		return
	}
	if below := o.mayPurge(&t); below > 0 {
		o.tell(Action{Kind: ActionPurge, Seq: below, Info: o.verified[1]})
	}
}

// makeSpace precedes the fence if the log is nearly full, since it might not even accept the epoch record. One proven snapshot
// is the recovery's base; makeSpace proves an older one.
func (o *Owner) makeSpace() {
	o.rec.bases = nil
	if !o.cfg.KeepLog && o.tail.over(warnPercent) && len(o.verified) > 0 {
		for _, s := range o.evidence.snapshots {
			if s.Seq < o.verified[0].Seq && s.Damaged == "" {
				o.rec.bases = append(o.rec.bases, s)
			}
		}
	}
	o.rec.older, o.rec.loads = true, 0
	o.tryOlder()
}

// tryOlder tries the next snapshot before the base.
func (o *Owner) tryOlder() {
	if len(o.rec.bases) == 0 {
		o.fence()
		return
	}
	o.ask(Action{Kind: ActionGet, Seq: o.rec.bases[0].Seq})
}

// older handles the record and then the bytes of a snapshot before the base, and purges up to it if both fit.
func (o *Owner) older(ev *Event) {
	next := func(why error) {
		o.alarm(fmt.Errorf("the log is not purged up to snapshot %s: %w", o.rec.bases[0].Name, why))
		o.rec.bases = o.rec.bases[1:]
		o.tryOlder()
	}
	switch {
	case ev.Kind == EventPurged:
		if ev.Err != nil {
			o.alarm(fmt.Errorf("the log, which is nearly full, was not purged: %w", ev.Err))
		}
		o.fence()
	case ev.Err != nil && !lasting(ev.Err) && o.rec.loads < o.cfg.LostReads:
		o.rec.loads++
		o.trouble(ev.Err)
	case ev.Err != nil:
		next(ev.Err)
	case ev.Kind == EventMessage:
		r, err := persistence.DecodeRecord(ev.Message.Body)
		if err != nil {
			next(err)
			return
		}
		o.rec.proof, o.rec.body = r, ev.Message.Body
		o.ask(Action{Kind: ActionLoad, Info: o.rec.bases[0]})
	case ev.Kind == EventLoaded:
		err := ev.Snapshot.Verify(o.rec.proof, o.rec.body)
		if err == nil && ev.Snapshot.Lineage != o.cfg.Genesis.Lineage {
			err = errors.New("it belongs to another lineage")
		}
		if err != nil {
			next(err)
			return
		}
		o.verified = append(o.verified[:1], ev.Snapshot.Info())
		if below := o.mayPurge(&o.tail); below > 0 {
			o.ask(Action{Kind: ActionMakeSpace, Seq: below, Info: o.verified[1]})
			return
		}
		o.fence()
	}
}
