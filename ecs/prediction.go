package ecs

import (
	"bytes"
	"encoding/binary"
	"math"
	"unsafe"
)

// Predict names the sampled commands and the systems that a client may run ahead of the server, in the order of the schedule, for
// the entity that its session controls: see Prediction. They find that entity and no other; what they spawn is gone after the tick, and what they emit is dropped.
// A component that is not replicated and that their queries visit begins as zero on the client, and keeps its predicted value. Call Predict
// only inside Setup.
func Predict(w *World, names ...string) {
	if w.sealed {
		refuse("ecs: Predict is called after Setup")
	}
	w.predicted = append(w.predicted, names...)
}

// ahead is what a client runs of a game.
type ahead struct {
	handlers []bool // by Command.Kind
	systems  []*call
	needs    mask // components of the systems' queries that clients do not get
}

// linkAhead resolves the names of Predict.
func (w *World) linkAhead() {
	if len(w.predicted) == 0 {
		return
	}
	w.ahead.handlers = make([]bool, len(w.handlers))
	wanted := map[string]bool{}
	for _, name := range w.predicted {
		wanted[name] = false
	}
	for i, h := range w.handlers {
		if _, ok := wanted[h.name]; !ok {
			continue
		}
		if !h.f.Sampled {
			refuse("ecs: Predict: command %q is not sampled: a client does not know in which tick it will run", h.name)
		}
		w.ahead.handlers[i], wanted[h.name] = true, true
	}
	for _, c := range w.systems {
		if _, ok := wanted[c.name]; ok {
			w.ahead.systems, wanted[c.name] = append(w.ahead.systems, c), true
			w.ahead.need(w, c)
		}
	}
	for _, name := range w.predicted {
		if !wanted[name] {
			refuse("ecs: Predict: there is no system and no command %q", name)
		}
	}
}

// need collects the components that a system's queries visit and that clients do not get.
func (a *ahead) need(w *World, c *call) {
	for _, arg := range c.args {
		q, ok := arg.Interface().(interface{ needs() mask })
		if !ok {
			continue
		}
		needs := q.needs()
		for i, c := range w.components {
			if !c.Replicated && needs.has(i) {
				a.needs.set(i)
			}
		}
	}
}

func (q *Query[V]) needs() (m mask) {
	for i := range q.view.fields {
		if f := &q.view.fields[i]; !f.optional {
			m.set(f.c.id)
		}
	}
	return m
}

// Prediction runs what Predict names on a client, ahead of the server, for one entity: the one that the client's session controls. It
// takes the entity as the server had it after a tick, and then the client's own commands tick by tick, with the game's own code. What
// else decides on the server, such as other entities and random numbers, is unknown here: then the next update contradicts, and the client places
// the entity again. Not safe for concurrent use.
type Prediction struct {
	w       *World
	session uint64
	self    Entity // as the server calls it
	local   Entity // the same in w; zero before Place, and after a system has despawned it
	buffer  []byte
	strays  []Entity
}

// NewPrediction returns a prediction for a session of a world with these options. It returns nil without an error if the game predicts
// nothing. The seed does not matter: a client does not know the server's.
func NewPrediction(g Game, options []byte, session uint64) (*Prediction, error) {
	w, err := New(g, Config{Options: options})
	if err != nil || len(w.predicted) == 0 {
		return nil, err
	}
	start, err := New(g, Config{Options: options, Like: w})
	if err != nil {
		return nil, err
	}
	start.begin()
	for _, c := range start.inits { // for the resources alone
		start.runSystem(c)
	}
	for i, r := range w.resources {
		copy(bytesAt(r.live, r.form.Size), bytesAt(start.resources[i].live, r.form.Size))
	}
	w.sessions.add(Session{ID: session})
	return &Prediction{w: w, session: session}, nil
}

// Known returns the packed value of a component or a resource by its name, as clients know it: fields that do not travel are zero. ok
// is false if the entity has no such component. It may use dst.
type Known func(dst []byte, name string) (packed []byte, ok bool)

// Tick returns the tick after which the entity is as it is now.
func (p *Prediction) Tick() uint64 { return p.w.tick }

// Alive reports whether there is an entity to predict.
func (p *Prediction) Alive() bool { return p.w.stored(p.local) }

// Place sets the entity as the server had it after a tick. Fields that do not travel keep the value that they have here.
func (p *Prediction) Place(tick uint64, self Entity, components, resources Known) {
	w := p.w
	p.at(tick)
	if p.self = self; !w.stored(p.local) {
		e, _ := w.pool.get()
		w.spawn(w.table(mask{}), e)
		p.local = e
	}
	w.sessions.find(p.session).View = p.local
	for i, c := range w.components {
		switch {
		case c.Replicated:
			b, ok := components(p.buffer[:0], c.Name)
			p.buffer = b
			p.have(c, ok)
			if ok {
				p.merge(&c.form, p.value(c), b)
			}
		case w.ahead.needs.has(i):
			p.have(c, true)
		}
	}
	for _, r := range w.resources {
		if b, ok := resources(p.buffer[:0], r.form.Name); r.form.Replicated && ok {
			p.merge(r.form, r.live, b)
			p.buffer = b
		}
	}
}

// Remove ends the prediction of the entity until the next Place.
func (p *Prediction) Remove() {
	if p.w.stored(p.local) {
		p.w.pool.put(p.local)
		p.w.despawn(p.local)
	}
}

// at makes a tick the last one.
func (p *Prediction) at(tick uint64) {
	p.w.tick = tick
	x := p.w.sessions.find(p.session)
	for i := range x.inputs {
		x.inputs[i].tick = 0 // a tick may run again
	}
}

// have adds a component to the entity, or removes it.
func (p *Prediction) have(c *component, has bool) {
	if t := p.w.tables[p.w.places[p.local.id].table]; t.mask.has(c.id) != has {
		p.w.exchange(p.local, c, has)
	}
}

// value returns where a component of the entity is, or nil.
func (p *Prediction) value(c *component) unsafe.Pointer {
	at := p.w.places[p.local.id]
	t := p.w.tables[at.table]
	if k := t.columnOf[c.id]; k >= 0 {
		return t.columns[k].at(int(at.row))
	}
	return nil
}

// merge overwrites the fields of a value that travel.
func (p *Prediction) merge(f *form, at unsafe.Pointer, packed []byte) {
	if len(packed) != f.Packed {
		return // of another build
	}
	for i := range f.Fields {
		d := &f.Fields[i]
		if tag, err := d.Sending(); err != nil || tag.Hidden {
			continue
		}
		n := d.Count * d.Width
		copy(bytesAt(unsafe.Add(at, d.Offset), n), packed[d.PackedOffset:d.PackedOffset+n])
		if d.Kind == KindEntity {
			p.rename(bytesAt(unsafe.Add(at, d.Offset), n), p.self, p.local)
		}
	}
}

// rename replaces references to the entity. One that would mean the new name by chance becomes zero.
func (p *Prediction) rename(refs []byte, from, to Entity) {
	for ; len(refs) >= 8; refs = refs[8:] {
		switch e := (Entity{binary.LittleEndian.Uint32(refs), binary.LittleEndian.Uint32(refs[4:])}); e {
		case from:
			binary.LittleEndian.PutUint32(refs, to.id)
			binary.LittleEndian.PutUint32(refs[4:], to.gen)
		case to:
			clear(refs[:8])
		}
	}
}

// Step runs the next tick with the session's commands for it.
func (p *Prediction) Step(commands []Command) {
	w := p.w
	w.begin()
	if w.stored(p.local) {
		for i := range commands {
			if c := &commands[i]; int(c.Kind) < len(w.ahead.handlers) && w.ahead.handlers[c.Kind] {
				w.execute(i, c)
			}
		}
		for _, c := range w.ahead.systems {
			w.runSystem(c)
		}
		w.running.call.Store(nil)
	}
	p.strays = p.strays[:0]
	for t := range w.eachInhabited {
		for _, e := range t.entities {
			if e != p.local {
				p.strays = append(p.strays, e)
			}
		}
	}
	for _, e := range p.strays {
		w.pool.put(e)
		w.despawn(e)
	}
}

// Component appends the packed value of a component of the entity. ok is false if it has none.
func (p *Prediction) Component(dst []byte, name string) (packed []byte, ok bool) {
	i, ok := p.w.schema.Component(name)
	if !ok || !p.w.stored(p.local) {
		return dst, false
	}
	c := p.w.components[i]
	at := p.value(c)
	if at == nil {
		return dst, false
	}
	n := len(dst)
	dst = c.pack(dst, at, 1)
	for i := range c.Fields {
		if d := &c.Fields[i]; d.Kind == KindEntity {
			p.rename(dst[n+d.PackedOffset:n+d.PackedOffset+d.Count*d.Width], p.local, p.self)
		}
	}
	return dst, true
}

// Save appends the tick and the entity, for Load and Agrees.
func (p *Prediction) Save(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, p.w.tick)
	if !p.w.stored(p.local) {
		return dst
	}
	for _, c := range p.w.components {
		at := p.value(c)
		dst = append(dst, boolByte(at != nil))
		if at != nil && !c.Transient {
			dst = c.pack(dst, at, 1)
		}
	}
	return dst
}

// saved yields the components of what Save has appended, nil for one that the entity lacks.
func (p *Prediction) saved(b []byte, yield func(c *component, has bool, packed []byte)) {
	for _, c := range p.w.components {
		has := b[0] != 0
		b = b[1:]
		n := 0
		if has && !c.Transient {
			n = c.Packed
		}
		yield(c, has, b[:n])
		b = b[n:]
	}
}

// Load returns to what Save has appended. An entity that is gone by now, or that Save did not have, stays gone.
func (p *Prediction) Load(b []byte) {
	p.at(binary.LittleEndian.Uint64(b))
	if b = b[8:]; len(b) == 0 || !p.w.stored(p.local) {
		return
	}
	p.saved(b, func(c *component, has bool, packed []byte) {
		if p.have(c, has); len(packed) > 0 {
			c.unpack(p.value(c), packed, 1)
		}
	})
}

// Agrees reports whether what Save has appended is what the server says of the entity: to a step of a field's tag, since such a field
// travels rounded.
func (p *Prediction) Agrees(b []byte, components Known) (agrees bool) {
	if b = b[8:]; len(b) == 0 {
		return false
	}
	agrees = true
	p.saved(b, func(c *component, has bool, packed []byte) {
		if !agrees || !c.Replicated {
			return
		}
		known, ok := components(p.buffer[:0], c.Name)
		p.buffer = known
		agrees = ok == has && (!ok || len(packed) == 0 || p.near(&c.form, packed, known))
	})
	return agrees
}

// near compares the fields of two packed values that travel.
func (p *Prediction) near(f *form, mine, known []byte) bool {
	if len(known) != f.Packed {
		return true // of another build
	}
	for i := range f.Fields {
		d := &f.Fields[i]
		tag, err := d.Sending()
		if err != nil || tag.Hidden {
			continue
		}
		from, to := d.PackedOffset, d.PackedOffset+d.Count*d.Width
		if d.Kind == KindEntity {
			p.rename(known[from:to], p.self, p.local)
		}
		if !within(d, tag.Step, mine[from:to], known[from:to]) {
			return false
		}
	}
	return true
}

// within compares the values of a field.
func within(d *Field, step float64, a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if step == 0 || d.Kind != KindF32 && d.Kind != KindF64 {
		return false
	}
	for i := 0; i < len(a); i += d.Width {
		x, y := floatAt(d.Kind, a[i:]), floatAt(d.Kind, b[i:])
		if x != y && !(math.Abs(x-y) <= step) {
			return false
		}
	}
	return true
}

func floatAt(k FieldKind, b []byte) float64 {
	if k == KindF32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}
