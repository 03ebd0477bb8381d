package ecs

// pool mirrors arche's entity pool, so that a deferred spawn knows its entity at once. Both perform the same gets and
// puts in the same order; spawn asserts that they agree. Free slots form a stack: each links to the next by its id.
type pool struct {
	slots []Entity // slot 0 is reserved; a living slot holds its own entity
	next  uint32   // top of the free stack, 0 if empty
	free  uint32   // its height
	sum   uint64   // of freeHash over the free slots: the stack is part of the checksum
}

func newPool() pool {
	return pool{slots: []Entity{{0, ^uint32(0)}}}
}

// freeHash hashes a free slot with its generation and the slot below it in the stack.
func freeHash(slot, gen, link uint32) uint64 {
	return mum((uint64(gen)<<32|uint64(slot))^k1, uint64(link)^k0)
}

// get hands out an entity; fresh reports whether its slot is new.
func (p *pool) get() (e Entity, fresh bool) {
	if p.free == 0 {
		e = Entity{uint32(len(p.slots)), 0}
		p.slots = append(p.slots, e)
		return e, true
	}
	slot := p.next
	s := &p.slots[slot]
	p.sum -= freeHash(slot, s.gen, s.id)
	p.next, s.id = s.id, slot
	p.free--
	return *s, false
}

// unget undoes the last operation, a get.
func (p *pool) unget(e Entity, fresh bool) {
	if fresh {
		p.slots = p.slots[:e.id]
		return
	}
	p.slots[e.id].id, p.next = p.next, e.id
	p.free++
	p.sum += freeHash(e.id, e.gen, p.slots[e.id].id)
}

// put frees the slot of e, which must be alive.
func (p *pool) put(e Entity) {
	s := &p.slots[e.id]
	s.gen++
	s.id, p.next = p.next, e.id
	p.free++
	p.sum += freeHash(e.id, s.gen, s.id)
}

// unput undoes the last operation, a put.
func (p *pool) unput(e Entity) {
	s := &p.slots[e.id]
	p.sum -= freeHash(e.id, s.gen, s.id)
	p.next = s.id
	*s = e
	p.free--
}

// alive reports whether e has been handed out and not put back.
func (p *pool) alive(e Entity) bool {
	return e.id != 0 && int(e.id) < len(p.slots) && p.slots[e.id] == e
}

// recompute returns sum, computed from scratch.
func (p *pool) recompute() (sum uint64) {
	for slot, n := p.next, p.free; n > 0; n-- {
		s := p.slots[slot]
		sum += freeHash(slot, s.gen, s.id)
		slot = s.id
	}
	return sum
}
