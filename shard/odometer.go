package shard

import "time"

// Mileage is the distance from a snapshot to the log's end: the work of a recovery that begins there.
type Mileage struct {
	Ticks uint64
	Bytes uint64        // of their records
	Work  time.Duration // time that their simulation or recovery took
}

func (m *Mileage) add(d Mileage) {
	m.Ticks, m.Bytes, m.Work = m.Ticks+d.Ticks, m.Bytes+d.Bytes, m.Work+d.Work
}

func (m *Mileage) sub(d Mileage) {
	m.Ticks, m.Bytes, m.Work = m.Ticks-d.Ticks, m.Bytes-d.Bytes, m.Work-d.Work
}

// SnapshotRule says how long the distance may become before a snapshot is due. Gap is the least number of ticks between two
// attempts, so that a store that refuses snapshots, or a game that is too slow, does not get an attempt after every record.
type SnapshotRule struct {
	Most Mileage
	Gap  uint64
}

// The default bounds of a recovery: a minute of ticks, 64 MiB of records, or 5 s of work. A recovery that took longer is
// followed by a snapshot at once.
const (
	snapshotSeconds = 60
	snapshotBytes   = 64 << 20
	snapshotWork    = 5 * time.Second
	snapshotGap     = 10 // seconds of ticks
)

// newSnapshotRule returns the default bounds, with everyTicks instead of the minute unless it is 0.
func newSnapshotRule(tickRate int, everyTicks uint64) SnapshotRule {
	rate := uint64(tickRate)
	if everyTicks == 0 {
		everyTicks = snapshotSeconds * rate
	}
	return SnapshotRule{Most: Mileage{Ticks: everyTicks, Bytes: snapshotBytes, Work: snapshotWork}, Gap: min(everyTicks, snapshotGap*rate)}
}

// within makes snapshots due often enough for a log with this limit in bytes: two are proven long before it is full. 0 means
// no limit.
func (r SnapshotRule) within(limitBytes int64) SnapshotRule {
	if limitBytes > 0 {
		r.Most.Bytes = min(r.Most.Bytes, uint64(limitBytes/16))
	}
	return r
}

// odometer decides when a snapshot is due. It depends on what was recovered and committed, not on the age of the process:
// since each start counts the distance of its recovery, even a node that dies more often than snapshots are due makes them.
type odometer struct {
	rule  SnapshotRule
	way   Mileage // since the newest proven snapshot
	taken Mileage // the part of way before the newest attempt
	at    uint64  // tick of that attempt; 0: none
}

// newOdometer begins where a recovery ended.
func newOdometer(rule SnapshotRule, recovered Mileage) odometer {
	return odometer{rule: rule, way: recovered}
}

// drive counts a committed record.
func (o *odometer) drive(d Mileage) { o.way.add(d) }

// due reports whether a snapshot of a tick's world is due.
func (o *odometer) due(tick uint64) bool {
	if o.at > 0 && tick < o.at+o.rule.Gap {
		return false
	}
	w, most := &o.way, &o.rule.Most
	return w.Ticks >= most.Ticks || w.Bytes >= most.Bytes || w.Work >= most.Work
}

// attempt records that the snapshot of a tick is being stored.
func (o *odometer) attempt(tick uint64) { o.taken, o.at = o.way, tick }

// stored records that the snapshot is stored and proven.
func (o *odometer) stored(tick uint64) {
	if tick == o.at {
		o.way.sub(o.taken)
		o.taken = Mileage{}
	}
}
