package ecs

// MaxSnapshotBytes is the largest snapshot that a store takes, and so the largest world that can be recovered: some 30
// million entities of 35 bytes.
const MaxSnapshotBytes = 1 << 30

// Usage is how far a world has gone towards one of its limits.
type Usage struct {
	Name string // of the limit
	Used uint64
	Most uint64
}

// Share is the part of the limit that is used, 1 at the limit.
func (u Usage) Share() float64 { return float64(u.Used) / float64(u.Most) }

// Usage lists the limits that a game can meet while it runs, with what the world uses of them after its last tick:
//
//   - sets of components at once: tables, the empty ones that are not given back yet included;
//   - sets of components made: the same since the world was made or restored, whether given back or not. A game of many
//     does not fail for that, but slows down, and with more entities would have them at once;
//   - bytes of messages in a tick: see Outbox.Send;
//   - failures in a tick, rejections left out: an Output names so many.
func (w *World) Usage() []Usage {
	return []Usage{
		{"sets of components at once", uint64(len(w.tables)), uint64(maxTables)},
		{"sets of components made", w.made, uint64(maxTables)},
		{"bytes of messages in a tick", uint64(w.messageWeight), maxOutbox},
		{"failures in a tick", uint64(w.faults), MaxFaults},
	}
}
