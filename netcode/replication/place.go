package replication

import (
	"encoding/binary"
	"math"

	"github.com/ferris1/wind/ecs"
)

// plane maps every replicated entity, for one tick, to its row in the world's tables and
// its interest cell.
type plane struct {
	layout *layout
	inv    float64 // cells per metre

	world  *ecs.World
	tick   uint64
	serial uint32 // number of looks so far
	first  bool   // whether this is the first look

	tables []source
	places []place // by entity id

	unplaced Unplaced // of the last look

	cells  []*cell // by number; 0 is the global cell; nil: free
	free   []uint32
	byKey  map[cellKey]uint32
	order  []uint32 // ids, cell by cell, ascending within a cell
	states statePool
}

// place is an entity's location.
type place struct {
	born uint64 // the tick in which it was first seen; 0: it existed at the first look
	gen  uint32
	seen uint32 // serial of the last look that found it
	src  uint32 // in plane.tables
	row  uint32
	cell uint32 // number of its cell
	x, y int32  // coordinates of its cell
}

// source is one table of the world.
type source struct {
	shape   uint32
	columns []ecs.Column // by part of the shape
	spatial *component   // nil: its entities are in the global cell
	at      ecs.Column   // of the spatial component
}

// look locates every replicated entity of the world, whose tick has advanced since the last look.
// Cost: one read and one write per entity, plus a map access for each that changed its cell.
func (p *plane) look(w *ecs.World) error {
	p.world, p.tick, p.first = w, w.Tick(), p.serial == 0
	p.serial++
	for _, c := range p.cells {
		if c != nil {
			c.count = 0
		}
	}
	p.tables, p.unplaced = p.tables[:0], Unplaced{}
	for _, t := range w.Tables() {
		if len(t.Entities()) == 0 {
			continue
		}
		src, ok, err := p.source(t)
		if err != nil {
			return err
		}
		if ok {
			p.scan(t.Entities(), &src, uint32(len(p.tables)))
			p.tables = append(p.tables, src)
		}
	}
	p.sort()
	return nil
}

// source reads a table's columns; ok is false if none of them is replicated.
func (p *plane) source(t *ecs.Table) (src source, ok bool, err error) {
	mask := uint64(0)
	for _, c := range p.layout.comps {
		if _, has := t.Column(c.index); has {
			mask |= 1 << c.bit
		}
	}
	if mask == 0 {
		return src, false, nil
	}
	if src.shape, err = p.layout.shape(mask); err != nil {
		return src, false, err
	}
	if n := len(p.tables); n < cap(p.tables) {
		src.columns = p.tables[:n+1][n].columns[:0] // keep the memory of an earlier look
	}
	for _, part := range p.layout.shapes[src.shape].parts {
		col, _ := t.Column(part.index)
		src.columns = append(src.columns, col)
	}
	if c := p.layout.spatial; c != nil {
		if col, has := t.Column(c.index); has {
			src.spatial, src.at = c, col
		}
	}
	return src, true, nil
}

// scan places the entities of a table.
func (p *plane) scan(ents []ecs.Entity, src *source, number uint32) {
	tick := p.tick
	if p.first {
		tick = 0
	}
	x, y, global := int32(0), int32(0), src.spatial == nil
	for row, e := range ents {
		id := e.ID()
		for int(id) >= len(p.places) {
			p.places = append(p.places, place{})
		}
		if !global {
			fx, fy := src.position(row)
			if x, y = p.cellAt(fx), p.cellAt(fy); x == nowhere || y == nowhere {
				x, y = nowhere, nowhere
				if p.unplaced.Count++; p.unplaced.Count == 1 {
					p.unplaced.First, p.unplaced.Component = e, src.spatial.t.Name
				}
			}
		}
		at := &p.places[id]
		known := at.seen == p.serial-1 && at.gen == e.Generation() && !p.first
		if !known {
			at.born = tick
		}
		if !known || at.x != x || at.y != y || (at.cell == 0) != global {
			at.cell = p.cellNumber(cellKey{x, y, global})
		}
		at.gen, at.seen, at.src, at.row, at.x, at.y = e.Generation(), p.serial, number, uint32(row), x, y
		p.cells[at.cell].count++
	}
}

// position reads the spatial component of a row, in metres.
func (s *source) position(row int) (x, y float64) {
	b := s.at.Data[row*s.at.Stride:]
	if s.spatial.xy == ecs.KindF64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(b[s.spatial.x:])),
			math.Float64frombits(binary.LittleEndian.Uint64(b[s.spatial.y:]))
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[s.spatial.x:]))),
		float64(math.Float32frombits(binary.LittleEndian.Uint32(b[s.spatial.y:])))
}

// nowhere is the coordinate of the cell of entities without a finite position. No area reaches it.
const nowhere = 1 << 30

// cellAt returns the cell coordinate of v metres. A value too far out is in an outermost cell, and one that is not finite nowhere.
func (p *plane) cellAt(v float64) int32 {
	c := math.Floor(v * p.inv)
	switch {
	case v-v != 0:
		return nowhere
	case c >= maxCell:
		return maxCell
	case c >= -maxCell:
		return int32(c)
	}
	return -maxCell
}

// cellNumber returns the number of the cell, creating it if needed.
func (p *plane) cellNumber(k cellKey) uint32 {
	if n, ok := p.byKey[k]; ok {
		return n
	}
	n := uint32(len(p.cells))
	if k := len(p.free); k > 0 {
		n, p.free = p.free[k-1], p.free[:k-1]
	} else {
		p.cells = append(p.cells, nil)
	}
	p.cells[n] = &cell{key: k}
	p.byKey[k] = n
	return n
}

// sort lists the entities cell by cell, by counting.
func (p *plane) sort() {
	at := 0
	for _, c := range p.cells {
		if c != nil {
			c.from, c.to = at, at
			at += c.count
		}
	}
	if at > cap(p.order) {
		p.order = make([]uint32, at+at/4)
	}
	p.order = p.order[:at]
	for id := range p.places {
		if pl := &p.places[id]; pl.seen == p.serial {
			c := p.cells[pl.cell]
			p.order[c.to] = uint32(id)
			c.to++
		}
	}
}

// sweep forgets cells without entities and subscribers.
func (p *plane) sweep() {
	for n, c := range p.cells {
		if n > 0 && c != nil && c.count == 0 && c.seers == 0 {
			delete(p.byKey, c.key)
			p.cells[n] = nil
			p.free = append(p.free, uint32(n))
		}
	}
}

// find returns the place of e; ok is false if e is not in the world or has no replicated component.
func (p *plane) find(e ecs.Entity) (at *place, ok bool) {
	if id := e.ID(); !e.IsZero() && int(id) < len(p.places) {
		at = &p.places[id]
		return at, at.gen == e.Generation() && at.seen == p.serial
	}
	return nil, false
}

func (p *plane) spawned(key, base, next uint64) bool {
	at, ok := p.find(ecs.EntityFrom(uint32(key>>32), uint32(key)))
	if base == 0 {
		return ok && at.born != 0 && at.born == next
	}
	return ok && at.born > base
}

func (p *plane) despawned(key uint64) bool {
	_, ok := p.find(ecs.EntityFrom(uint32(key>>32), uint32(key)))
	return !ok && key>>32 != 0
}

// load appends the entity's row, quantised, to s.
func (p *plane) load(s *state, id uint32) {
	at := &p.places[id]
	src := &p.tables[at.src]
	row := s.extend(ent{key: keyOf(id, at.gen), shape: src.shape}, p.layout)
	sh := p.layout.shapes[src.shape]
	for i := range sh.parts {
		part := &sh.parts[i]
		col := &src.columns[i]
		part.load(col.Data[int(at.row)*col.Stride:], row[part.at:])
	}
}

// loadResources appends the replicated resources to s.
func (p *plane) loadResources(s *state) {
	for n, c := range p.layout.resources {
		row := s.extend(ent{key: keyOf(0, uint32(n)+1), shape: uint32(n)}, p.layout)
		c.load(p.world.ResourceColumn(c.index).Data, row)
	}
}

// load quantises a component in memory into a row of words.
func (c *component) load(memory []byte, row []uint32) {
	for i := range c.slots {
		c.slots[i].load(memory, row)
	}
}
