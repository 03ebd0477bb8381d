package replication

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/ferris1/wind/ecs"
)

// Mirror is a client's copy of the world: the entities in its cells, each cell at the newest state
// that arrived. It trusts no packet. Not safe for concurrent use.
//
// While packets are lost or late, cells can show different ticks. Once every packet of
// a tick has arrived, the mirror equals the visible world of that tick, quantised.
type Mirror struct {
	// Apply calls OnChange, if set, for each entity that came or went, after it has applied the
	// packet's blocks, in ascending order of entities. OnChange must not call Apply.
	OnChange func(Change)

	layout *layout
	limit  int // bytes of states and pieces
	used   int

	epoch, stream uint64
	tick          uint64
	area          area
	cells         map[cellKey]*mirrorCell
	where         map[uint64]*mirrorSegment // by key: the segment that an entity was last in
	sorted        []uint64                  // the keys of where, ascending; nil: not built yet
	acks          acks

	states  statePool
	blocks  []parsedBlock
	news    news
	changed map[uint64]touch
	scratch []byte
	stats   MirrorStats
}

// MirrorStats holds a Mirror's counts since NewMirror.
type MirrorStats struct {
	Packets    uint64 // applied
	Bytes      uint64 // in applied packets
	Blocks     uint64 // that held a new state
	Groundless uint64 // blocks whose baseline is missing: their packet is not acknowledged
	Void       uint64 // packets of an older epoch or stream
}

// Change reports an entity that came into sight or went out of it.
type Change struct {
	Entity ecs.Entity
	Kind   ChangeKind
	Tick   uint64 // of the packet that brought the change
}

// ChangeKind says how an entity came or went.
type ChangeKind uint8

// The kinds of change.
const (
	Appeared  ChangeKind = iota + 1 // already existed, came into sight
	Spawned                         // is new in the world
	Left                            // went out of sight; it may be alive
	Despawned                       // no longer exists
)

// String returns the kind's name in lower case.
func (k ChangeKind) String() string {
	return [...]string{"none", "appeared", "spawned", "left", "despawned"}[min(k, Despawned)*b2u(k <= Despawned)]
}

func b2u(b bool) ChangeKind {
	if b {
		return 1
	}
	return 0
}

// parsedBlock is a block of a well-formed packet.
type parsedBlock struct {
	blockHead
	body []byte
}

// touch records what happened to an entity in one packet.
type touch struct {
	before             bool // in sight before the packet
	spawned, despawned bool
}

// mirrorBytes bounds the memory that a mirror's states use.
const mirrorBytes = 64 << 20

// NewMirror returns an empty mirror for packets of an Encoder with the same schema.
func NewMirror(s *ecs.Schema) (*Mirror, error) {
	l, err := newLayout(s)
	if err != nil {
		return nil, err
	}
	m := &Mirror{layout: l, limit: mirrorBytes, changed: map[uint64]touch{}, states: statePool{most: 64}}
	m.reset(0, 0)
	return m, nil
}

// reset forgets everything and expects packets of the given stream.
func (m *Mirror) reset(epoch, stream uint64) {
	m.epoch, m.stream, m.tick, m.used = epoch, stream, 0, 0
	m.area = area{radius: -1}
	m.cells, m.where, m.sorted = map[cellKey]*mirrorCell{}, map[uint64]*mirrorSegment{}, nil
	m.acks = acks{}
}

// Apply applies a packet. It does not keep the bytes. Packets may come in any order, repeated or
// lost. An error means that no Encoder with this schema wrote these bytes; Apply may already have applied
// some valid blocks. A packet of a newer epoch or stream empties the mirror first; Apply ignores packets of an
// older one.
func (m *Mirror) Apply(packet []byte) error {
	p := parser{b: packet}
	h := p.header()
	if p.err != nil {
		return p.err
	}
	codec, err := codecOf(h.codec)
	if err != nil {
		return err
	}
	m.blocks = m.blocks[:0]
	for len(p.b) > 0 {
		k, body := p.block(&h)
		m.blocks = append(m.blocks, parsedBlock{k, body})
	}
	if p.err != nil {
		return p.err
	}
	switch c := cmp.Or(cmp.Compare(h.epoch, m.epoch), cmp.Compare(h.stream, m.stream)); {
	case c < 0:
		m.stats.Void++
		return nil
	case c > 0:
		m.begin(h.epoch, h.stream)
	}
	m.stats.Packets++
	m.stats.Bytes += uint64(len(packet))
	if h.tick > m.tick {
		m.tick, m.area = h.tick, h.area
		m.dropOutside()
	}
	arrived := true
	for i := range m.blocks {
		ok, err := m.block(codec, &m.blocks[i], h.seq)
		if err != nil {
			m.report(h.tick)
			return err
		}
		arrived = arrived && ok
	}
	if arrived {
		m.acks.add(h.seq)
	}
	m.report(h.tick)
	return nil
}

// begin switches the mirror to another stream; everything in sight leaves.
func (m *Mirror) begin(epoch, stream uint64) {
	if m.OnChange != nil {
		for key := range m.where {
			m.note(key, true, false, false)
		}
	}
	m.reset(epoch, stream)
}

// block applies one block. ok is false if its packet must not be acknowledged yet.
func (m *Mirror) block(c codec, b *parsedBlock, seq uint64) (ok bool, err error) {
	if !b.global && !m.area.has(b.x, b.y) {
		return true, nil // the cell has left the area since
	}
	s, err := m.segment(b)
	if s == nil {
		return err == nil, err // a newer division has replaced this one
	}
	body := b.body
	if b.pieces > 0 {
		if body, ok, err = m.piece(s, b, seq); body == nil {
			return ok, err
		}
	}
	ok, err = m.take(c, s, b, body)
	if p := s.pieces; p != nil && p.version <= b.version {
		if ok && p.version == b.version && p.base == b.base {
			for _, seq := range p.packets {
				m.acks.add(seq)
			}
		}
		m.dropPieces(s)
	}
	if ok {
		m.settle(s)
	}
	return ok, err
}

// AppendAck appends an acknowledgement, at most 40 bytes, from which the encoder learns which packets arrived.
// It may be lost: the next one repeats it. Call AppendAck once per tick, or per received packet. Before the first
// packet it appends nothing.
func (m *Mirror) AppendAck(b []byte) []byte {
	if m.acks.last == 0 {
		return b
	}
	return appendAck(b, m.epoch, m.stream, m.acks)
}

// Tick returns the newest tick for which a packet arrived; 0 before the first.
func (m *Mirror) Tick() uint64 { return m.tick }

// Known returns the tick that produced what the mirror shows of e. It stays while nothing near e changes, or while the changes are missing.
// ok is false if e is not in sight.
func (m *Mirror) Known(e ecs.Entity) (tick uint64, ok bool) {
	s := m.where[keyOf(e.ID(), e.Generation())]
	if s == nil || e.IsZero() {
		return 0, false
	}
	return s.current().version, true
}

// Epoch returns the epoch of the newest packets.
func (m *Mirror) Epoch() uint64 { return m.epoch }

// Stats returns the counts so far.
func (m *Mirror) Stats() MirrorStats { return m.stats }

// Len returns the number of entities in sight.
func (m *Mirror) Len() int {
	n := 0
	for key := range m.where {
		if key>>32 != 0 {
			n++
		}
	}
	return n
}

// Each yields the entities in sight, ascending by id.
func (m *Mirror) Each(yield func(ecs.Entity) bool) {
	if m.sorted == nil {
		m.sorted = make([]uint64, 0, len(m.where))
		for key := range m.where {
			if key>>32 != 0 {
				m.sorted = append(m.sorted, key)
			}
		}
		slices.Sort(m.sorted)
	}
	for _, key := range m.sorted {
		if !yield(entityOf(key)) {
			return
		}
	}
}

// Has reports whether e is in sight.
func (m *Mirror) Has(e ecs.Entity) bool {
	return !e.IsZero() && m.where[keyOf(e.ID(), e.Generation())] != nil
}

// Packed appends a component's packed value, for ecs.UnpackValue and ecs.Type.Format. ok is
// false if e is not in sight or has no such replicated component. Fields that do not travel are zero.
func (m *Mirror) Packed(dst []byte, e ecs.Entity, component string) (packed []byte, ok bool) {
	if c := m.layout.byName[component]; c != nil && !e.IsZero() {
		return m.packed(dst, keyOf(e.ID(), e.Generation()), c)
	}
	return dst, false
}

// PackedResource does the same as Packed for a resource.
func (m *Mirror) PackedResource(dst []byte, resource string) (packed []byte, ok bool) {
	if c := m.layout.named[resource]; c != nil {
		return m.packed(dst, keyOf(0, uint32(c.bit)+1), c)
	}
	return dst, false
}

func (m *Mirror) packed(dst []byte, key uint64, c *component) ([]byte, bool) {
	s := m.where[key]
	if s == nil {
		return dst, false
	}
	st := s.current()
	e, _ := st.find(key)
	sh := m.layout.shapes[e.shape]
	for i := range sh.parts {
		if p := &sh.parts[i]; p.component == c {
			return c.pack(dst, st.words[int(e.at)+p.at:]), true
		}
	}
	return dst, false
}

// pack appends the packed value of a row of words.
func (c *component) pack(dst []byte, row []uint32) []byte {
	at := len(dst)
	dst = slices.Grow(dst, c.t.Packed)[:at+c.t.Packed]
	clear(dst[at:])
	for i := range c.slots {
		c.slots[i].store(row, dst[at:])
	}
	return dst
}

// Components yields the replicated components of e with their packed values, which are valid until yield returns.
func (m *Mirror) Components(e ecs.Entity, yield func(t *ecs.Type, packed []byte) bool) {
	key := keyOf(e.ID(), e.Generation())
	s := m.where[key]
	if s == nil || e.IsZero() {
		return
	}
	st := s.current()
	at, _ := st.find(key)
	sh := m.layout.shapes[at.shape]
	for i := range sh.parts {
		p := &sh.parts[i]
		m.scratch = p.pack(m.scratch[:0], st.words[int(at.at)+p.at:])
		if !yield(p.t, m.scratch) {
			return
		}
	}
}

// Get returns a component of e by its registered name. ok is false if e is not in sight, has no such component, or
// T is not its type.
func Get[T any](m *Mirror, e ecs.Entity, component string) (v T, ok bool) {
	m.scratch, ok = m.Packed(m.scratch[:0], e, component)
	return unpack[T](m.scratch, ok)
}

// ResourceOf returns a resource by its registered name. ok is false until it has arrived.
func ResourceOf[T any](m *Mirror, resource string) (v T, ok bool) {
	m.scratch, ok = m.PackedResource(m.scratch[:0], resource)
	return unpack[T](m.scratch, ok)
}

func unpack[T any](b []byte, ok bool) (v T, _ bool) {
	if !ok {
		return v, false
	}
	c, err := valueCodec[T]()
	if err != nil || len(b) != c.Size() {
		return v, false
	}
	err = c.Decode(b, &v)
	return v, err == nil
}

// codecs caches the ecs.Codec of every type read so far, by type: building one takes microseconds, and
// clients read several values per entity and tick.
var codecs sync.Map

func valueCodec[T any]() (ecs.Codec[T], error) {
	t := reflect.TypeFor[T]()
	if c, ok := codecs.Load(t); ok {
		return c.(ecs.Codec[T]), nil
	}
	c, err := ecs.NewCodec[T]()
	if err == nil {
		codecs.Store(t, c)
	}
	return c, err
}

func entityOf(key uint64) ecs.Entity { return ecs.EntityFrom(uint32(key>>32), uint32(key)) }

var errMirrorFull = errors.New("replication: the mirror is full")
