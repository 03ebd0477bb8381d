package ecs

// Tick is a system's or handler's view of the tick in progress. It is valid until that call returns.
type Tick struct {
	w    *World
	seed uint64 // of the running system or command
}

// Now returns the number of the tick in progress, from 1.
func (t *Tick) Now() uint64 { return t.w.tick }

// Rate returns the number of ticks per second.
func (t *Tick) Rate() int { return t.w.game.TickRate }

// Seconds returns the duration of a tick in seconds.
func (t *Tick) Seconds() float64 { return 1 / float64(t.w.game.TickRate) }

// Rand returns a generator keyed by the world's seed, the tick, the system's name (for a command also its source and
// sequence number) and e, which may be zero. Equal calls return equal generators.
func (t *Tick) Rand(e Entity) Rand {
	return Rand{mum(t.w.seed^t.w.tick*k0, t.seed^k1) ^ mum(e.key()^k2, k3)}
}

// Alive reports whether e is alive, counting what the running system has queued.
func (t *Tick) Alive(e Entity) bool { return t.w.pool.alive(e) }

// Despawn removes e when the system returns. It does nothing if e is dead.
func (t *Tick) Despawn(e Entity) {
	if t.w.pool.alive(e) {
		t.w.pool.put(e)
		t.w.queue = append(t.w.queue, op{kind: opDespawn, entity: e})
	}
}

// Control sets the entity from which a session's client sees the world, when the system returns. The zero Entity clears
// it. Control does nothing if no such session exists.
func (t *Tick) Control(session uint64, e Entity) {
	t.w.queue = append(t.w.queue, op{kind: opControl, entity: e, session: session})
}
