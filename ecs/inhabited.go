package ecs

import "math/bits"

// Most games have some tables that empty and fill again, and a game with many independent components leaves an empty
// one behind at nearly every step. So the per-table work of a tick visits only tables with rows; a bitmap with one bit
// per table identifies them.

// settled notes that t is about to get its first row.
func (w *World) settled(t *Table) {
	w.inhabited[t.index>>6] |= 1 << (t.index & 63)
	w.uninhabited--
	w.shape++
}

// deserted notes that t has lost its last row. No value is left in it that could differ from its committed one.
func (w *World) deserted(t *Table) {
	w.inhabited[t.index>>6] &^= 1 << (t.index & 63)
	w.uninhabited++
	w.shape++
	for i := range t.columns {
		t.columns[i].touched = false
	}
}

// enlist gives a new, empty table its bit.
func (w *World) enlist(t *Table) {
	if t.index>>6 == len(w.inhabited) {
		w.inhabited = append(w.inhabited, 0)
	}
	w.uninhabited++
	w.made++
	w.nodes++
}

// eachInhabited yields the tables that have rows, in order. Rows must not be added or removed meanwhile.
func (w *World) eachInhabited(yield func(*Table) bool) {
	for i, word := range w.inhabited {
		for ; word != 0; word &= word - 1 {
			if !yield(w.tables[i<<6+bits.TrailingZeros64(word)]) {
				return
			}
		}
	}
}
