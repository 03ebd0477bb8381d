package replication

import "slices"

// state is the content of one segment of a cell at one version: entities in ascending order of
// their keys, each with a row of words. A state in a history never changes.
type state struct {
	version uint64 // the tick that made it
	ents    []ent
	words   []uint32
}

// ent is an entity in a state. Its row starts at words[at]; its shape gives the length. Rows may be
// in any order.
type ent struct {
	key   uint64 // id<<32 | generation; a resource has id 0 and generation index+1
	shape uint32
	at    uint32
}

func keyOf(id, gen uint32) uint64 { return uint64(id)<<32 | uint64(gen) }

// find returns the entity with this key.
func (s *state) find(key uint64) (ent, bool) {
	if s == nil {
		return ent{}, false
	}
	i, ok := slices.BinarySearchFunc(s.ents, key, func(e ent, key uint64) int {
		switch {
		case e.key < key:
			return -1
		case e.key > key:
			return 1
		}
		return 0
	})
	if !ok {
		return ent{}, false
	}
	return s.ents[i], true
}

// extend appends an entity and returns its row, which is not cleared.
func (s *state) extend(e ent, l *layout) []uint32 {
	e.at = uint32(len(s.words))
	s.ents = append(s.ents, e)
	n := len(s.words) + l.shapes[e.shape].words
	s.words = slices.Grow(s.words, n-len(s.words))[:n]
	return s.words[e.at:]
}

// same reports whether two states made by the encoder have the same content.
func (s *state) same(o *state) bool {
	return slices.Equal(s.ents, o.ents) && slices.Equal(s.words, o.words)
}

// cost returns the state's size in words after adding an entity with a row of n.
func (s *state) cost(n int) int { return len(s.words) + n + 4*(len(s.ents)+1) }

// bytes returns approximately how much memory the state uses.
func (s *state) bytes() int { return 64 + 16*cap(s.ents) + 4*cap(s.words) }

// statePool keeps states for reuse, so that a steady world allocates none.
type statePool struct {
	free []*state
	most int // states kept; 0: all
}

func (p *statePool) get() *state {
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		s.version, s.ents, s.words = 0, s.ents[:0], s.words[:0]
		return s
	}
	return &state{}
}

func (p *statePool) put(s *state) {
	if p.most == 0 || len(p.free) < p.most {
		p.free = append(p.free, s)
	}
}
