package replication

import (
	"errors"
	"fmt"
	"math"

	"github.com/ferris1/wind/ecs"
)

// Config configures an Encoder. A zero field means the default stated beside it.
type Config struct {
	CellMetres       float64 // side of an interest cell; 32
	RadiusMetres     float64 // minimum distance that a client sees, the interest radius, rounded up to cells; 96
	HysteresisMetres float64 // how far a view must leave its cell before the area follows; CellMetres/4
	PacketBytes      int     // largest packet, 256..65536; 1120, which leaves room for a wrapper in a datagram of 1,200 bytes
	BudgetBytes      int     // per client and tick, over all its packets; 4 × PacketBytes
	HistoryTicks     int     // how long a superseded state can still be a baseline, 2..1024; 32
}

func (c Config) withDefaults() (Config, error) {
	if c.CellMetres == 0 {
		c.CellMetres = 32
	}
	if c.RadiusMetres == 0 {
		c.RadiusMetres = 96
	}
	if c.HysteresisMetres == 0 {
		c.HysteresisMetres = c.CellMetres / 4
	}
	if c.PacketBytes == 0 {
		c.PacketBytes = 1120
	}
	if c.BudgetBytes == 0 {
		c.BudgetBytes = 4 * c.PacketBytes
	}
	if c.HistoryTicks == 0 {
		c.HistoryTicks = 32
	}
	switch {
	case !(c.CellMetres > 0 && c.CellMetres < math.Inf(1)):
		return c, fmt.Errorf("replication: cells of %v metres: want a finite size above 0", c.CellMetres)
	case !(c.RadiusMetres > 0 && c.RadiusMetres <= maxRadius*c.CellMetres):
		return c, fmt.Errorf("replication: a radius of %v metres: want above 0, at most %d cells of %v metres", c.RadiusMetres, maxRadius, c.CellMetres)
	case !(c.HysteresisMetres > 0 && c.HysteresisMetres <= c.CellMetres):
		return c, fmt.Errorf("replication: a hysteresis of %v metres: want above 0, at most a cell of %v", c.HysteresisMetres, c.CellMetres)
	case c.PacketBytes < 256 || c.PacketBytes > 1<<16:
		return c, fmt.Errorf("replication: packets of %d bytes: want 256 to 65536", c.PacketBytes)
	case c.BudgetBytes < maxHeader:
		return c, fmt.Errorf("replication: a budget of %d bytes: want at least the %d of a packet's header", c.BudgetBytes, maxHeader)
	case c.HistoryTicks < 2 || c.HistoryTicks > 1024:
		return c, fmt.Errorf("replication: a history of %d ticks: want 2 to 1024", c.HistoryTicks)
	}
	return c, nil
}

// Encoder writes what clients may see of one world. Call Begin once per released tick, then
// Update for each client; Join, Leave and Ack may come at any point between. Not safe for
// concurrent use.
//
// Memory: 40 bytes per entity; per visible cell, one state for each of the last
// Config.HistoryTicks ticks in which the cell changed; per client, 16 bytes for each block in its
// last 128 packets and 100 bytes per cell in sight.
type Encoder struct {
	cfg     Config
	codec   codec
	plane   plane
	epoch   uint64
	horizon uint64 // ticks for which a superseded state is kept: HistoryTicks, or fewer if all clients acknowledge quickly
	clients map[uint64]*client
	streams uint64 // the last stream's number

	offsets []offset // the cells of an area, nearest first
	radius  int32

	next    []*state // used by build
	bodies  [][]byte // for reuse
	wants   []want   // used by Update
	packet  []byte   // used by Update
	scratch []byte   // used by Update
	stats   Stats
}

// Stats holds an Encoder's counts since New.
type Stats struct {
	Encoded      uint64 // blocks encoded
	EncodedBytes uint64
	Blocks       uint64 // blocks sent, a block in pieces counted once
	Packets      uint64
	Bytes        uint64 // in packets
	Deferred     uint64 // blocks that the budget deferred to a later tick
	Clients      int
	Cells        int // cells with an entity or a subscriber
}

// offset is a cell's position relative to the middle of an area.
type offset struct{ x, y int32 }

// Check returns the error that New would return.
func Check(s *ecs.Schema, c Config) error {
	_, err := New(s, c)
	return err
}

// New returns an Encoder for worlds with this schema. The error names a field whose tag is invalid.
func New(s *ecs.Schema, c Config) (*Encoder, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := newLayout(s)
	if err != nil {
		return nil, err
	}
	e := &Encoder{cfg: c, codec: bitpack{}, clients: map[uint64]*client{}, radius: int32(math.Ceil(c.RadiusMetres / c.CellMetres))}
	e.offsets = offsetsWithin(e.radius)
	e.plane.layout = l
	e.reset()
	return e, nil
}

// offsetsWithin lists the cells of a square, nearest first.
func offsetsWithin(r int32) []offset {
	var all []offset
	for distance := int32(0); distance <= 2*r*r; distance++ {
		for y := -r; y <= r; y++ {
			for x := -r; x <= r; x++ {
				if x*x+y*y == distance {
					all = append(all, offset{x, y})
				}
			}
		}
	}
	return all
}

// reset forgets the world and restarts every client's stream.
func (e *Encoder) reset() {
	e.plane = plane{layout: e.plane.layout, inv: 1 / e.cfg.CellMetres, byKey: map[cellKey]uint32{}, states: e.plane.states}
	e.plane.cellNumber(cellKey{global: true})
	for _, c := range e.clients {
		e.restart(c)
	}
}

// Begin selects the world, at a released tick, that the following Updates describe. The world
// must not change until the last of them. A different epoch or world resets the encoder:
// all clients get whole blocks. Within an epoch, an earlier tick than the last one is an error.
func (e *Encoder) Begin(w *ecs.World, epoch uint64) error {
	p := &e.plane
	if w != p.world || epoch != e.epoch {
		e.reset()
		e.epoch = epoch
	}
	switch tick := w.Tick(); {
	case tick == 0:
		return errors.New("replication: the world has not run its first tick")
	case tick == p.tick:
		return nil
	case tick < p.tick:
		return fmt.Errorf("replication: tick %d follows %d", tick, p.tick)
	}
	e.horizon = 0
	for _, c := range e.clients {
		e.horizon = max(e.horizon, 2*c.patience()+4)
	}
	e.horizon = min(e.horizon, uint64(e.cfg.HistoryTicks))
	if p.tick>>6 != w.Tick()>>6 {
		p.sweep()
	}
	return p.look(w)
}

// Join starts a stream for a new or reconnected session. The client gets whole blocks until it
// acknowledges some.
func (e *Encoder) Join(session uint64) {
	c := e.clients[session]
	if c == nil {
		c = &client{area: area{radius: -1}, subs: make([]sub, 1+len(e.offsets))}
		e.clients[session] = c
	}
	e.restart(c)
}

// Leave forgets a session. It ignores an unknown one.
func (e *Encoder) Leave(session uint64) {
	if c := e.clients[session]; c != nil {
		e.release(c)
		delete(e.clients, session)
	}
}

// Ack applies an acknowledgement that a client's Mirror.AppendAck wrote. Malformed bytes are an
// error; an acknowledgement of another stream, or of packets long forgotten, has no effect.
func (e *Encoder) Ack(session uint64, b []byte) error {
	epoch, stream, a, err := parseAck(b)
	if err != nil {
		return err
	}
	c := e.clients[session]
	if c == nil || epoch != e.epoch || stream != c.stream {
		return nil
	}
	for seq := range a.each {
		c.acknowledge(seq, e.plane.tick)
	}
	return nil
}

// Unplaced describes the entities whose spatial component has a NaN or an infinity for X or Y at the tick of the last Begin. No client
// sees them until they have a place again.
type Unplaced struct {
	Count     int
	First     ecs.Entity
	Component string
}

// Unplaced returns the entities without a finite position.
func (e *Encoder) Unplaced() Unplaced { return e.plane.unplaced }

// Stats returns the counts so far.
func (e *Encoder) Stats() Stats {
	s := e.stats
	s.Clients, s.Cells = len(e.clients), len(e.plane.byKey)
	return s
}
