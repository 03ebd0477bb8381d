package replication

import "slices"

// cell is a square of the plane, or the global cell, with the states that its subscribers may use as baselines.
type cell struct {
	key      cellKey
	count    int // entities in it
	from, to int // they are plane.order[from:to]
	seers    int // clients subscribed to it

	built   uint32 // plane.serial when its segments were last updated
	changed uint64 // the tick of its last change
	depth   uint8  // it has 1<<depth segments
	segs    []segment
}

// segment holds the entities of a cell whose ids hash to its number, so that a crowded cell
// is sent, lost and acknowledged in parts of about a packet each.
type segment struct {
	version uint64   // of the current state; 0: no state yet
	history []*state // ascending versions; the last is the current one
	blocks  []block  // encodings of the current state
}

// block is a segment's current state encoded once against one baseline, for all clients at that baseline.
type block struct {
	base uint64
	body []byte
}

// hash returns the number of an entity's segment, below 1<<depth.
func hash(id uint32, depth uint8) uint32 { return id * 0x9E3779B1 >> (32 - depth) }

// current returns the current state, or nil before the first.
func (s *segment) current() *state {
	if n := len(s.history); n > 0 {
		return s.history[n-1]
	}
	return nil
}

// at returns the state with this version, or nil if it has been dropped.
func (s *segment) at(version uint64) *state {
	for i := len(s.history) - 1; i >= 0 && s.history[i].version >= version; i-- {
		if s.history[i].version == version {
			return s.history[i]
		}
	}
	return nil
}

// build updates a cell to the current tick: it quantises the entities and, where the result differs from a
// segment's current state, makes it the new state. It runs at most once per tick, only for cells with subscribers.
func (e *Encoder) build(c *cell) {
	if c.built == e.plane.serial {
		return
	}
	c.built = e.plane.serial
	p := &e.plane
	ids := p.order[c.from:c.to]
	if d := e.depthFor(c, ids); d != c.depth || len(c.segs) == 0 {
		e.regrow(c, d)
	}
	next := e.next[:0]
	for range c.segs {
		next = append(next, p.states.get())
	}
	e.next = next
	if c.key.global {
		p.loadResources(next[0])
	}
	if c.depth == 0 {
		for _, id := range ids {
			p.load(next[0], id)
		}
	} else {
		for _, id := range ids {
			p.load(next[hash(id, c.depth)], id)
		}
	}
	for i := range c.segs {
		e.commit(c, &c.segs[i], next[i])
	}
}

// commit makes next the current state if it differs from the one before.
func (e *Encoder) commit(c *cell, s *segment, next *state) {
	cur := s.current()
	unchanged := cur != nil && cur.same(next) || cur == nil && len(next.ents) == 0 && c.depth == 0 && c.changed == 0
	if unchanged {
		e.plane.states.put(next)
	} else {
		next.version = e.plane.tick
		c.changed = next.version
		s.version = next.version
		s.history = append(s.history, next)
		for i := range s.blocks {
			e.bodies = append(e.bodies, s.blocks[i].body)
		}
		s.blocks = s.blocks[:0]
	}
	old := 0
	for old < len(s.history)-1 && s.history[old+1].version+e.horizon < e.plane.tick {
		e.plane.states.put(s.history[old])
		old++
	}
	if old > 0 {
		s.history = slices.Delete(s.history, 0, old)
	}
}

// depthFor chooses the number of segments so that a whole segment takes about a packet. It
// grows at once and shrinks late, because every change resends the whole cell.
func (e *Encoder) depthFor(c *cell, ids []uint32) uint8 {
	bits := 0
	for _, id := range ids {
		p := &e.plane
		s := p.layout.shapes[p.tables[p.places[id].src].shape]
		bits += s.maxBits + len(p.layout.comps)/8 + 8
	}
	goal := e.cfg.PacketBytes * 8 * 3 / 4
	d := c.depth
	for d < maxDepth && bits>>d > goal {
		d++
	}
	for d > 0 && bits>>(d-1) < goal/2 {
		d--
	}
	return d
}

// regrow changes the division of a cell. Its versions start again, so every subscriber gets it whole.
func (e *Encoder) regrow(c *cell, depth uint8) {
	again := len(c.segs) > 0
	e.forget(c)
	c.built = e.plane.serial
	c.depth = depth
	for cap(c.segs) < 1<<depth {
		c.segs = append(c.segs[:cap(c.segs)], segment{})
	}
	c.segs = c.segs[:1<<depth]
	if again {
		c.changed = e.plane.tick // subscribers must learn the new division even if the cell is now empty
	}
}

// forget drops a cell's states.
func (e *Encoder) forget(c *cell) {
	for i := range c.segs {
		s := &c.segs[i]
		for k, st := range s.history {
			e.plane.states.put(st)
			s.history[k] = nil
		}
		s.version, s.history = 0, s.history[:0]
		for k := range s.blocks {
			e.bodies = append(e.bodies, s.blocks[k].body)
		}
		s.blocks = s.blocks[:0]
	}
	c.segs, c.depth, c.built, c.changed = c.segs[:0], 0, 0, 0
}

// encoded returns the segment's current state encoded against version base (0: whole), encoding it on the
// first request. It returns nil if that version has been dropped. The bytes are shared and valid until the
// state changes.
func (e *Encoder) encoded(s *segment, base uint64) []byte {
	for i := range s.blocks {
		if s.blocks[i].base == base {
			return s.blocks[i].body
		}
	}
	from := emptyState
	if base != 0 {
		if from = s.at(base); from == nil {
			return nil
		}
	}
	var body []byte
	if n := len(e.bodies); n > 0 {
		body, e.bodies = e.bodies[n-1][:0], e.bodies[:n-1]
	}
	body = e.codec.append(body, e.plane.layout, from, s.current(), &e.plane)
	s.blocks = append(s.blocks, block{base, body})
	e.stats.Encoded++
	e.stats.EncodedBytes += uint64(len(body))
	return body
}
