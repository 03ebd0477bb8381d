package replication

import (
	"fmt"
	"slices"
)

// mirrorCell is the mirror's copy of a cell. While the encoder changes the division of a crowded cell, the
// mirror shows the old division until the new one is complete.
type mirrorCell struct {
	cur, next *division
}

// division is a cell in 1<<depth segments; it holds those that have arrived.
type division struct {
	cell     *mirrorCell
	depth    uint8
	newest   uint64 // greatest version of its segments
	segments map[uint16]*mirrorSegment
}

// mirrorSegment holds the states of a segment that the encoder may still use as a baseline.
type mirrorSegment struct {
	division *division
	states   []*state // ascending versions; the last is shown
	floor    uint64   // the encoder uses no older baseline
	pieces   *pieces
}

// pieces collects the parts of a block that is larger than a packet.
type pieces struct {
	version, base uint64
	bodies        [][]byte
	missing       int
	bytes         int
	packets       []uint64 // acknowledged once all pieces have arrived
}

// maxStates is how many states of a segment are kept: more than the number of ticks an acknowledgement can take.
const maxStates = 256

// segmentBytes is approximately what a segment takes without its states.
const segmentBytes = 256

func (s *mirrorSegment) current() *state {
	if n := len(s.states); n > 0 {
		return s.states[n-1]
	}
	return nil
}

func (s *mirrorSegment) find(version uint64) (int, bool) {
	return slices.BinarySearchFunc(s.states, version, func(s *state, v uint64) int {
		switch {
		case s.version < v:
			return -1
		case s.version > v:
			return 1
		}
		return 0
	})
}

// segment returns the block's segment, or nil if its division has been replaced.
func (m *Mirror) segment(b *parsedBlock) (*mirrorSegment, error) {
	c := m.cells[b.cellKey]
	if c == nil {
		c = &mirrorCell{}
		m.cells[b.cellKey] = c
	}
	d := c.cur
	switch {
	case d == nil:
		d = newDivision(c, b.depth)
		c.cur = d
	case d.depth == b.depth:
		if c.next != nil && b.version > c.next.newest {
			m.dropDivision(c.next)
			c.next = nil
		}
	case c.next != nil && c.next.depth == b.depth:
		d = c.next
	case b.version <= d.newest || c.next != nil && b.version <= c.next.newest:
		return nil, nil
	default:
		if c.next != nil {
			m.dropDivision(c.next)
		}
		d = newDivision(c, b.depth)
		c.next = d
	}
	s := d.segments[b.segment]
	if s == nil {
		if m.used+segmentBytes > m.limit {
			return nil, errMirrorFull
		}
		m.used += segmentBytes
		s = &mirrorSegment{division: d}
		d.segments[b.segment] = s
	}
	return s, nil
}

func newDivision(c *mirrorCell, depth uint8) *division {
	return &division{cell: c, depth: depth, segments: map[uint16]*mirrorSegment{}}
}

// take decodes a block into its segment. ok is false if its baseline is missing.
func (m *Mirror) take(c codec, s *mirrorSegment, b *parsedBlock, body []byte) (ok bool, err error) {
	at, have := s.find(b.version)
	if have || b.version < s.floor {
		return true, nil
	}
	base := emptyState
	if b.base != 0 {
		i, have := s.find(b.base)
		if !have {
			m.stats.Groundless++
			return false, nil
		}
		base = s.states[i]
	}
	old := s.current()
	next := m.states.get()
	m.news.reset()
	if err := c.read(body, m.layout, base, next, max(m.limit-m.used, 0)/4, &m.news); err != nil {
		m.states.put(next)
		return false, err
	}
	if m.used+next.bytes() > m.limit {
		return false, errMirrorFull
	}
	next.version = b.version
	m.used += next.bytes()
	s.states = slices.Insert(s.states, at, next)
	s.division.newest = max(s.division.newest, b.version)
	m.stats.Blocks++
	if old == nil || old.version < next.version {
		m.show(s, old, next)
	}
	s.floor = max(s.floor, b.base)
	m.prune(s)
	return true, nil
}

// prune drops the states that the encoder can no longer use as baselines.
func (m *Mirror) prune(s *mirrorSegment) {
	n := 0
	for n < len(s.states)-1 && (s.states[n].version < s.floor || len(s.states)-n > maxStates) {
		m.used -= s.states[n].bytes()
		m.states.put(s.states[n])
		n++
	}
	if n > 0 {
		s.states = slices.Delete(s.states, 0, n)
	}
}

// piece stores a part of a block and returns the whole block once the last part has arrived; until then
// the packet must not be acknowledged. ok is true if the piece is no longer needed.
func (m *Mirror) piece(s *mirrorSegment, b *parsedBlock, seq uint64) (whole []byte, ok bool, err error) {
	p := s.pieces
	if _, have := s.find(b.version); have {
		return nil, true, nil
	}
	if p != nil && (b.version < p.version || b.version == p.version && b.base < p.base) {
		return nil, false, nil
	}
	if p == nil || p.version != b.version || p.base != b.base {
		m.dropPieces(s)
		p = &pieces{version: b.version, base: b.base, bodies: make([][]byte, b.pieces), missing: b.pieces, bytes: 24 * b.pieces}
		s.pieces = p
		m.used += p.bytes
	}
	if len(p.bodies) != b.pieces {
		return nil, false, fmt.Errorf("replication: a block in %d pieces has a piece that counts %d", len(p.bodies), b.pieces)
	}
	if !slices.Contains(p.packets, seq) && len(p.packets) < 2*maxFragments {
		p.packets = append(p.packets, seq)
	}
	if p.bodies[b.piece] == nil {
		if m.used+len(b.body) > m.limit {
			return nil, false, errMirrorFull
		}
		p.bodies[b.piece] = append(make([]byte, 0, len(b.body)), b.body...)
		p.missing--
		p.bytes += len(b.body)
		m.used += len(b.body)
	}
	if p.missing > 0 {
		return nil, false, nil
	}
	return slices.Concat(p.bodies...), true, nil
}

func (m *Mirror) dropPieces(s *mirrorSegment) {
	if s.pieces != nil {
		m.used -= s.pieces.bytes
		s.pieces = nil
	}
}

// settle makes a new division current, and drops the old one, once every segment has arrived.
func (m *Mirror) settle(s *mirrorSegment) {
	d := s.division
	c := d.cell
	if c.next != d {
		return
	}
	for _, s := range d.segments {
		if s.current() == nil {
			return
		}
	}
	if len(d.segments) == 1<<d.depth {
		old := c.cur
		c.cur, c.next = d, nil
		m.dropDivision(old)
	}
}

// dropDivision forgets a division; entities that only it showed leave.
func (m *Mirror) dropDivision(d *division) {
	for _, s := range d.segments {
		m.used -= segmentBytes
		m.dropPieces(s)
		old := s.current()
		for _, st := range s.states {
			m.used -= st.bytes()
		}
		s.states = nil
		if old == nil {
			continue
		}
		m.news.reset()
		for i := range old.ents {
			m.hide(s, old.ents[i].key)
		}
	}
}

// dropOutside forgets the cells outside the area.
func (m *Mirror) dropOutside() {
	for k, c := range m.cells {
		if k.global || m.area.has(k.x, k.y) {
			continue
		}
		delete(m.cells, k)
		m.dropDivision(c.cur)
		if c.next != nil {
			m.dropDivision(c.next)
		}
	}
}
