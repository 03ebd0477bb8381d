package replication

import "slices"

// cell is a square of the plane, or the global cell, with what its subscribers may stand on.
type cell struct {
	key      cellKey
	count    int // entities in it
	from, to int // they are plane.order[from:to]
	seers    int // clients subscribed to it

	built   uint32 // plane.serial at which its segments were brought up to date
	changed uint64 // the tick of its last change
	depth   uint8  // it has 1<<depth segments
	segs    []segment
}

// segment is the part of a cell whose entities' ids hash to its number, so that a crowded cell
// is sent, lost and acknowledged in pieces of about a packet.
type segment struct {
	version uint64   // of the state in force; 0: there never was any
	history []*state // ascending versions; the last is in force
	blocks  []block  // encoded against the state in force
}

// block is a segment's state in force, encoded once against one baseline for all who stand there.
type block struct {
	base uint64
	body []byte
}

// hash is the number of an entity's segment among 1<<depth.
func hash(id uint32, depth uint8) uint32 { return id * 0x9E3779B1 >> (32 - depth) }

// current is the state in force; nil if there never was any.
func (s *segment) current() *state {
	if n := len(s.history); n > 0 {
		return s.history[n-1]
	}
	return nil
}

// at is the state with this version; nil if it is not known any more.
func (s *segment) at(version uint64) *state {
	for i := len(s.history) - 1; i >= 0 && s.history[i].version >= version; i-- {
		if s.history[i].version == version {
			return s.history[i]
		}
	}
	return nil
}

// build brings a cell up to the tick: quantises its entities, and where that differs from the
// state in force, makes it the new one. Once per tick, only for a cell that somebody sees.
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

// commit puts a state in force if it differs from the one that is.
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

// depthFor chooses the number of segments so that one of them, whole, about fits a packet. It
// grows at once and shrinks late, since every change sends the cell whole.
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

// regrow divides a cell anew. Its versions start again, so every subscriber gets it whole.
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
		c.changed = e.plane.tick // even if it is empty now, its subscribers must hear so
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

// encoded returns the segment's state in force against the version base (0: against nothing),
// encoding it if nobody has asked yet; nil if that version is forgotten. The bytes are shared and
// last until the state changes.
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
