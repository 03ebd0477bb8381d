package ecs

import "fmt"

// ChecksumError is wrapped by an error of Apply or Restore for bytes that can be read but do not yield the world whose
// checksum they state.
type ChecksumError struct{ Got, Want uint64 }

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("the checksum is %016x, want %016x", e.Got, e.Want)
}

// Checksum returns a hash of the world after its last tick, maintained incrementally: worlds of one game with equal
// checksums have equal futures. It covers every value that is not transient, the table and row of each entity, the list
// of tables, the entity pool with its free slots in order, the sessions, the tick, the seed and the options.
func (w *World) Checksum() uint64 {
	return w.mix(w.valueSum, w.layoutSum, w.pool.sum, w.sessions.sum)
}

// Recompute computes the checksum from scratch, from the live values. It differs from Checksum only if change detection
// missed a write, through a pointer kept too long or a field tagged read.
func (w *World) Recompute() uint64 {
	var values, layout uint64
	for _, t := range w.tables {
		layout += w.tableHash(t)
		for row, e := range t.entities {
			layout += layoutHash(e, t.index, row)
		}
		for i := range t.columns {
			c := &t.columns[i]
			if c.c.Transient {
				continue
			}
			for row, e := range t.entities {
				values += c.c.hash(e, c.at(row))
			}
		}
	}
	for _, r := range w.resources {
		if !r.form.Transient {
			values += r.contribution(r.live)
		}
	}
	return w.mix(values, layout, w.pool.recompute(), w.sessions.recompute())
}

func (w *World) mix(values, layout, free, sessions uint64) uint64 {
	h := mum(values^k2, layout^k3)
	h = mum(h^free, sessions^k1)
	h = mum(h^w.tick, w.identity^k0)
	return mum(h^uint64(len(w.pool.slots)), uint64(w.pool.free)<<32^uint64(w.pool.next)^k2)
}
