package shard

import "time"

// Mileage is the way from a snapshot to the log's end: what a recovery that begins there has to do.
type Mileage struct {
	Ticks uint64
	Bytes uint64        // of their records
	Work  time.Duration // that their simulation took, or their recovery
}

func (m *Mileage) add(d Mileage) {
	m.Ticks, m.Bytes, m.Work = m.Ticks+d.Ticks, m.Bytes+d.Bytes, m.Work+d.Work
}

func (m *Mileage) sub(d Mileage) {
	m.Ticks, m.Bytes, m.Work = m.Ticks-d.Ticks, m.Bytes-d.Bytes, m.Work-d.Work
}

// SnapshotRule says how long the way may become before a snapshot is due. Gap is the least number
// of ticks between two attempts, so that a store that refuses, or a game that cannot be simulated
// in time, does not get one behind every record.
type SnapshotRule struct {
	Most Mileage
	Gap  uint64
}

// The bounds of a recovery where nobody names others: a minute of ticks, 64 MiB of records, or 5 s
// of work. One that took longer has a snapshot made right behind it.
const (
	snapshotSeconds = 60
	snapshotBytes   = 64 << 20
	snapshotWork    = 5 * time.Second
	snapshotGap     = 10 // seconds of ticks
)

// newSnapshotRule returns the usual bounds; everyTicks stands for the minute, unless it is 0.
func newSnapshotRule(tickRate int, everyTicks uint64) SnapshotRule {
	rate := uint64(tickRate)
	if everyTicks == 0 {
		everyTicks = snapshotSeconds * rate
	}
	return SnapshotRule{Most: Mileage{Ticks: everyTicks, Bytes: snapshotBytes, Work: snapshotWork}, Gap: min(everyTicks, snapshotGap*rate)}
}

// within makes snapshots due often enough for a log of so many bytes: two are proven long before it is
// full. 0 means no limit.
func (r SnapshotRule) within(limitBytes int64) SnapshotRule {
	if limitBytes > 0 {
		r.Most.Bytes = min(r.Most.Bytes, uint64(limitBytes/16))
	}
	return r
}

// odometer decides when a snapshot is due: a function of what was recovered and committed, not of
// how long the process has lived. A node that dies more often than snapshots are due makes them all
// the same, since each start begins with the way that its recovery went.
type odometer struct {
	rule  SnapshotRule
	way   Mileage // since the newest proven snapshot
	taken Mileage // that part of it which lies before the newest attempt
	at    uint64  // tick of that attempt; 0: none
}

// newOdometer begins where a recovery ended.
func newOdometer(rule SnapshotRule, recovered Mileage) odometer {
	return odometer{rule: rule, way: recovered}
}

// drive counts a committed record.
func (o *odometer) drive(d Mileage) { o.way.add(d) }

// due reports whether the world of a tick is to be saved.
func (o *odometer) due(tick uint64) bool {
	if o.at > 0 && tick < o.at+o.rule.Gap {
		return false
	}
	w, most := &o.way, &o.rule.Most
	return w.Ticks >= most.Ticks || w.Bytes >= most.Bytes || w.Work >= most.Work
}

// attempt notes that the world of a tick is on its way into the store.
func (o *odometer) attempt(tick uint64) { o.taken, o.at = o.way, tick }

// stored notes that it has come there, and was proven.
func (o *odometer) stored(tick uint64) {
	if tick == o.at {
		o.way.sub(o.taken)
		o.taken = Mileage{}
	}
}
