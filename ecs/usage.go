package ecs

// MaxSnapshotBytes is the largest snapshot that a store accepts, and so bounds the world that can be recovered: about
// 30 million entities of 35 bytes.
const MaxSnapshotBytes = 1 << 30

// Usage is how close a world is to one of its limits.
type Usage struct {
	Name string // of the limit
	Used uint64
	Most uint64
}

// Share returns the used part of the limit, 1 at the limit.
func (u Usage) Share() float64 { return float64(u.Used) / float64(u.Most) }

// Usage lists the limits that a game can reach while it runs, with the world's use of each after its last tick:
//
//   - sets of components at once: tables, including empty ones that are not given back yet;
//   - sets of components made: the tables made since the world was made or restored, given back or not. A game does not
//     fail because it makes many, but it slows down, and with more entities it would need as many at once;
//   - bytes of messages in a tick: see Outbox.Send;
//   - failures in a tick, without rejections: an Output names at most MaxFaults.
func (w *World) Usage() []Usage {
	return []Usage{
		{"sets of components at once", uint64(len(w.tables)), uint64(maxTables)},
		{"sets of components made", w.made, uint64(maxTables)},
		{"bytes of messages in a tick", uint64(w.messageWeight), maxOutbox},
		{"failures in a tick", uint64(w.faults), MaxFaults},
	}
}
