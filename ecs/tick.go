package ecs

// Tick is what a system and a handler see of the tick being made. It is valid until they return.
type Tick struct {
	w    *World
	seed uint64 // of the running system or command
}

// Now is the number of the tick being made, from 1.
func (t *Tick) Now() uint64 { return t.w.tick }

// Rate is the number of ticks per second.
func (t *Tick) Rate() int { return t.w.game.TickRate }

// Seconds is the duration of a tick in seconds.
func (t *Tick) Seconds() float64 { return 1 / float64(t.w.game.TickRate) }

// Rand is a generator keyed by the world's seed, the tick, the name of the system (for a command also its
// source and number) and e, which may be zero. Asked twice, it gives the same numbers.
func (t *Tick) Rand(e Entity) Rand {
	return Rand{mum(t.w.seed^t.w.tick*k0, t.seed^k1) ^ mum(e.key()^k2, k3)}
}

// Alive reports whether e lives. What the running system has queued counts.
func (t *Tick) Alive(e Entity) bool { return t.w.pool.alive(e) }

// Despawn removes e when the system returns. Nothing happens when e is dead.
func (t *Tick) Despawn(e Entity) {
	if t.w.pool.alive(e) {
		t.w.pool.put(e)
		t.w.queue = append(t.w.queue, op{kind: opDespawn, entity: e})
	}
}

// Control makes e what the client of a session sees the world from, when the system returns. The zero
// Entity takes that away. Nothing happens when there is no such session.
func (t *Tick) Control(session uint64, e Entity) {
	t.w.queue = append(t.w.queue, op{kind: opControl, entity: e, session: session})
}
