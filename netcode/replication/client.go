package replication

import (
	"cmp"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// client is one session's stream.
type client struct {
	stream uint64
	seq    uint64 // of the last packet
	debt   int    // bytes spent beyond the budget
	delay  int    // smoothed ticks from sending a packet to its acknowledgement, times eight
	area   area
	subs   []sub // 0: the global cell; the others by their coordinates modulo the area's width
	serial uint32
	sent   sentLog
}

// sub is a client's subscription to a cell.
type sub struct {
	cell    *cell
	serial  uint32 // of the subscription and its division: blocks sent under another serial are void
	depth   uint8
	settled uint64 // cell.changed when the client had acknowledged all of it; 0: not yet
	segs    []standing
}

// standing is how far a client is with a segment.
type standing struct {
	acked    uint64 // version; 0: nothing
	sent     uint64 // version last sent
	sentTick uint64
	due      uint64 // the tick since which it has been waiting to be sent; 0: not waiting
}

// want is a block that a client needs.
type want struct {
	body    []byte
	base    uint64
	age     uint64 // ticks it has waited
	order   int32  // nearest first
	sub     uint16
	segment uint16
}

// restart starts a new stream for c.
func (e *Encoder) restart(c *client) {
	e.release(c)
	e.streams++
	c.stream, c.seq, c.debt, c.delay = e.streams, 0, 0, 0
	c.sent.reset()
	c.area = area{radius: -1}
}

// release ends all subscriptions of c.
func (e *Encoder) release(c *client) {
	for i := range c.subs {
		e.unsubscribe(&c.subs[i])
	}
}

func (e *Encoder) unsubscribe(s *sub) {
	if s.cell == nil {
		return
	}
	if s.cell.seers--; s.cell.seers == 0 {
		e.forget(s.cell)
	}
	s.cell = nil
}

// subscribe makes s a subscription to cell k, unless it already is.
func (e *Encoder) subscribe(c *client, s *sub, k cellKey) {
	if s.cell != nil && s.cell.key == k {
		return
	}
	e.unsubscribe(s)
	s.cell = e.plane.cells[e.plane.cellNumber(k)]
	s.cell.seers++
	s.segs = s.segs[:0]
}

// divide gives s as many segments as its cell has, without baselines.
func (c *client) divide(s *sub) {
	c.serial++
	s.serial, s.depth, s.settled = c.serial, s.cell.depth, 0
	n := len(s.cell.segs)
	s.segs = slices.Grow(s.segs[:0], n)[:n]
	clear(s.segs)
}

// acknowledge records that the client has the blocks that a packet carried.
func (c *client) acknowledge(seq, now uint64) {
	p := c.sent.packet(seq)
	if p == nil || p.acked {
		return
	}
	p.acked = true
	if sample := int(now-p.tick) * 8; c.delay == 0 {
		c.delay = max(sample, 1)
	} else {
		c.delay += (sample - c.delay) / 8
	}
	c.sent.each(p, func(b sentBlock) {
		s := &c.subs[b.sub]
		if s.cell == nil || s.serial != b.serial || int(b.segment) >= len(s.segs) {
			return
		}
		if st := &s.segs[b.segment]; b.version > st.acked {
			st.acked = b.version
		}
	})
}

// patience returns how many ticks an unchanged block may go unacknowledged before it is sent again.
func (c *client) patience() uint64 {
	if c.delay == 0 {
		return 6
	}
	return min(uint64(c.delay)/8+2, 30)
}

// Update writes a client's packets for the tick of the last Begin: at least one, each at most
// Config.PacketBytes, together at most Config.BudgetBytes. Only a single block larger than the
// budget exceeds it; later ticks make up for that. Blocks that do not fit wait; those that have waited
// longest go first. view is the entity from which the client sees the world; while view is not in the world
// or has no finite position, the area stays where it was. Each packet is valid until send returns. Update sends nothing to an unknown
// session or before the first Begin.
func (e *Encoder) Update(session uint64, view ecs.Entity, send func(packet []byte)) {
	c := e.clients[session]
	if c == nil || e.plane.tick == 0 {
		return
	}
	e.follow(c, view)
	e.gather(c)
	out := outgoing{e: e, c: c, send: send}
	out.begin()
	out.all(e.wants)
	out.end()
}

// follow moves the client's area to its view once the view has left the middle cell by more than the
// hysteresis.
func (e *Encoder) follow(c *client, view ecs.Entity) {
	p := &e.plane
	e.subscribe(c, &c.subs[0], cellKey{global: true})
	at, ok := p.find(view)
	if !ok || p.tables[at.src].spatial == nil || at.x == nowhere {
		return
	}
	x, y := p.tables[at.src].position(int(at.row))
	to := area{at.x, at.y, e.radius}
	if c.area.radius >= 0 {
		to.x = e.drag(c.area.x, at.x, x)
		to.y = e.drag(c.area.y, at.y, y)
		if to == c.area {
			return
		}
	}
	c.area = to
	for _, o := range e.offsets {
		x, y := to.x+o.x, to.y+o.y
		e.subscribe(c, &c.subs[e.slot(x, y)], cellKey{x: x, y: y})
	}
}

// drag returns the middle of an area on one axis for a view at v metres in cell at.
func (e *Encoder) drag(middle, at int32, v float64) int32 {
	low := float64(middle)*e.cfg.CellMetres - e.cfg.HysteresisMetres
	top := float64(middle+1)*e.cfg.CellMetres + e.cfg.HysteresisMetres
	if v >= low && v < top {
		return middle
	}
	return at
}

// slot returns a cell's index in client.subs. Two cells of one area never share an index.
func (e *Encoder) slot(x, y int32) int {
	width := 2*e.radius + 1
	return 1 + int(mod(y, width)*width+mod(x, width))
}

func mod(a, n int32) int32 {
	if a %= n; a < 0 {
		a += n
	}
	return a
}

// gather lists the blocks that c needs, nearest cells first.
func (e *Encoder) gather(c *client) {
	e.wants = e.wants[:0]
	e.gatherCell(c, 0)
	if c.area.radius < 0 {
		return
	}
	for _, o := range e.offsets {
		e.gatherCell(c, e.slot(c.area.x+o.x, c.area.y+o.y))
	}
}

func (e *Encoder) gatherCell(c *client, slot int) {
	s := &c.subs[slot]
	e.build(s.cell)
	if len(s.segs) != len(s.cell.segs) {
		c.divide(s)
	}
	if s.settled == s.cell.changed {
		return
	}
	settled := true
	for i := range s.segs {
		st, seg := &s.segs[i], &s.cell.segs[i]
		if st.acked == seg.version {
			st.due = 0
			continue
		}
		settled = false
		if st.acked != 0 && st.sent != seg.version || e.plane.tick-st.sentTick >= c.patience() || st.sent == 0 {
			e.want(c, slot, i)
		} // else a block is on its way, and it is unchanged or the client has no baseline: give it time to arrive
	}
	if settled {
		s.settled = s.cell.changed
	}
}

// want adds a segment to the blocks that c needs.
func (e *Encoder) want(c *client, slot, segment int) {
	s := &c.subs[slot]
	st, seg := &s.segs[segment], &s.cell.segs[segment]
	body := e.encoded(seg, st.acked)
	if body == nil { // the client's version is too old to be a baseline
		st.acked = 0
		body = e.encoded(seg, 0)
	}
	if st.due == 0 {
		st.due = e.plane.tick
	}
	e.wants = append(e.wants, want{
		body: body, base: st.acked, age: e.plane.tick - st.due,
		order: int32(len(e.wants)), sub: uint16(slot), segment: uint16(segment),
	})
}

// sortWants sorts by waiting time, longest first.
func sortWants(w []want) {
	slices.SortFunc(w, func(a, b want) int {
		if a.age != b.age {
			return cmp.Compare(b.age, a.age)
		}
		return cmp.Compare(a.order, b.order)
	})
}
