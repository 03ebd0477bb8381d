package replication

import "slices"

// show replaces old with next, already the newest state of s, as the visible state of the segment.
func (m *Mirror) show(s *mirrorSegment, old, next *state) {
	if old == nil {
		old = emptyState
	}
	j := 0
	for i := range old.ents {
		key := old.ents[i].key
		for j < len(next.ents) && next.ents[j].key < key {
			j++
		}
		if j == len(next.ents) || next.ents[j].key != key {
			m.hide(s, key)
		}
	}
	for i := range next.ents {
		key := next.ents[i].key
		at := m.where[key]
		switch {
		case at == s:
		case at == nil:
			m.note(key, false, slices.Contains(m.news.spawned, key), false)
			m.where[key] = s
			m.sorted = nil
		case at.current().version < next.version:
			m.where[key] = s
		}
	}
}

// hide records that key is no longer in s. An entity that another segment still shows stays in sight there.
func (m *Mirror) hide(s *mirrorSegment, key uint64) {
	if m.where[key] != s {
		return
	}
	if other := m.elsewhere(key); other != nil {
		m.where[key] = other
		return
	}
	m.note(key, true, false, slices.Contains(m.news.despawned, key))
	delete(m.where, key)
	m.sorted = nil
}

// elsewhere finds the newest segment that shows key.
func (m *Mirror) elsewhere(key uint64) (found *mirrorSegment) {
	look := func(d *division) {
		if d == nil {
			return
		}
		for _, s := range d.segments {
			cur := s.current()
			if _, ok := cur.find(key); ok && (found == nil || found.current().version < cur.version) {
				found = s
			}
		}
	}
	for _, c := range m.cells {
		look(c.cur)
		look(c.next)
	}
	return found
}

// note records what a packet did to an entity, for report.
func (m *Mirror) note(key uint64, before, spawned, despawned bool) {
	if m.OnChange == nil || key>>32 == 0 {
		return
	}
	t, ok := m.changed[key]
	if !ok {
		t.before = before
	}
	t.spawned = t.spawned || spawned
	t.despawned = t.despawned || despawned
	m.changed[key] = t
}

// report calls OnChange with one change per entity, and with none for an entity that only
// moved from one cell to another.
func (m *Mirror) report(tick uint64) {
	if len(m.changed) == 0 {
		return
	}
	keys := make([]uint64, 0, len(m.changed))
	for key := range m.changed {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		t, after := m.changed[key], m.where[key] != nil
		kind := ChangeKind(0)
		switch {
		case t.before == after:
			continue
		case after && t.spawned:
			kind = Spawned
		case after:
			kind = Appeared
		case t.despawned:
			kind = Despawned
		default:
			kind = Left
		}
		m.OnChange(Change{Entity: entityOf(key), Kind: kind, Tick: tick})
	}
	clear(m.changed)
}
