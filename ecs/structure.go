package ecs

// The three structural operations. Each updates arche, the mirror of its layout and the checksum together. Step and
// Apply are both built from them.

// contribution returns the sum of a row's committed values in the checksum.
func (t *Table) contribution(row int) (sum uint64) {
	for i := range t.columns {
		if c := &t.columns[i]; !c.c.Transient {
			sum += c.c.hash(t.entities[row], c.committed(row))
		}
	}
	return sum
}

// spawn makes e, which the pool has just handed out, the last row of t, all zero.
func (w *World) spawn(t *Table, e Entity) (row int) {
	if got := fromArche(w.arche.NewEntity(t.ids...)); got != e {
		panic("ecs: arche's entity pool and its mirror disagree")
	}
	row = w.appendRow(t, e)
	w.valueSum += t.contribution(row)
	w.living++
	return row
}

// despawn removes e, which has a row and has gone back to the pool.
func (w *World) despawn(e Entity) {
	p := w.places[e.id]
	t := w.tables[p.table]
	w.valueSum -= t.contribution(int(p.row))
	w.arche.RemoveEntity(toArche(e))
	w.dropRow(t, int(p.row))
	w.living--
}

// exchange adds a zero c to e, or removes it. The other components keep their live and committed values.
func (w *World) exchange(e Entity, c *component, add bool) {
	p := w.places[e.id]
	from, row := w.tables[p.table], int(p.row)
	to := w.neighbour(from, c, add)
	w.addRemove[0] = c.arche
	if add {
		w.arche.Add(toArche(e), w.addRemove[:]...)
	} else {
		if !c.Transient {
			w.valueSum -= c.hash(e, from.columns[from.columnOf[c.id]].committed(row))
		}
		w.arche.Remove(toArche(e), w.addRemove[:]...)
	}
	newRow := w.appendRow(to, e)
	for i := range to.columns {
		t := &to.columns[i]
		k := from.columnOf[t.c.id]
		if k < 0 {
			continue
		}
		f := &from.columns[k]
		t.touched = t.touched || f.touched // writes from before the move are not committed yet
		if n := t.c.Size; t.compared() {
			copy(t.old[newRow*n:], f.old[row*n:(row+1)*n])
		}
	}
	here := w.places[e.id]
	w.dropRow(from, row)
	w.places[e.id] = here
	if add && !c.Transient {
		t := &to.columns[to.columnOf[c.id]]
		w.valueSum += c.hash(e, t.committed(newRow))
	}
}
