package client

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/ferris1/wind/ecs"
)

// aheadTicks is for how many ticks a prediction can be corrected: more than a round trip.
const aheadTicks = 256

// Visible is the least distance, in metres, by which a correction counts as visible.
const Visible = 0.05

// ahead predicts the entity that the client controls (ecs.Predict). It runs a tick when the client samples its input, and compares what it had with
// each update. It is pure: it has no clock and asks nobody.
type ahead struct {
	world   *ecs.Prediction // nil: the game predicts nothing
	view    *View
	session uint64
	self    ecs.Entity // the predicted one
	checked uint64     // the newest tick that was compared
	ticks   [aheadTicks]aheadTick

	shown     offset // what corrections have left to be smoothed
	wrong     uint64 // corrections
	wrongSeen uint64 // those by more than Visible
}

// aheadTick is a predicted tick.
type aheadTick struct {
	tick     uint64
	commands []ecs.Command
	saved    []byte // the entity after it; empty without an entity
	x, y     float64
	placed   bool // x and y are known
}

// newAhead returns a prediction of a session, or nil if the game predicts nothing.
func newAhead(game ecs.Game, options []byte, session uint64, view *View) (*ahead, error) {
	w, err := ecs.NewPrediction(game, options, session)
	if err != nil || w == nil {
		return nil, err
	}
	return &ahead{world: w, view: view, session: session}, nil
}

func (a *ahead) at(tick uint64) *aheadTick { return &a.ticks[tick%aheadTicks] }

// component is an ecs.Known of the entity that the client controls, of the newest update.
func (a *ahead) component(dst []byte, name string) ([]byte, bool) {
	return a.view.mirror.Packed(dst, a.view.self, name)
}

// step runs a tick with the commands that the client has sampled for it.
func (a *ahead) step(tick uint64, samples func(yield func(kind uint16, seq uint64, payload []byte))) {
	t := a.at(tick)
	t.tick, t.commands, t.saved, t.placed = tick, t.commands[:0], t.saved[:0], false
	samples(func(kind uint16, seq uint64, payload []byte) {
		t.commands = append(t.commands, ecs.Command{Kind: kind, Source: ecs.Source{Kind: ecs.SourceClient, ID: a.session}, Seq: seq, Payload: payload})
	})
	switch last := a.world.Tick(); {
	case !a.world.Alive() || last >= tick: // nothing has been placed yet, or the clock was set back
		return
	case tick-last > 1: // it was set forward: the server repeats the input, or takes none
		for last++; last < tick && tick-last < aheadTicks; last++ {
			*a.at(last) = aheadTick{tick: last}
			a.run(a.at(last))
		}
	}
	a.run(t)
}

// run predicts a tick.
func (a *ahead) run(t *aheadTick) {
	if a.world.Tick()+1 != t.tick {
		return
	}
	a.world.Step(t.commands)
	t.saved = a.world.Save(t.saved[:0])
	t.x, t.y, t.placed = a.position()
}

// position returns where the predicted entity is.
func (a *ahead) position() (x, y float64, ok bool) {
	p := a.view.place
	if p == nil {
		return 0, 0, false
	}
	var room [64]byte
	b, ok := a.world.Component(room[:0], p.name)
	if !ok {
		return 0, 0, false
	}
	x, y = p.of(b)
	return x, y, true
}

// update compares the prediction with the newest update. now is the tick that the client has sampled last.
func (a *ahead) update(now uint64, at time.Time) {
	known, ok := a.view.mirror.Known(a.view.self)
	if !ok || a.self != a.view.self {
		a.forget()
	}
	if quiet := uint64(max(a.view.rate, 32)); known+quiet < a.view.mirror.Tick() { // what is lost comes again sooner: nothing has changed since
		known = a.view.mirror.Tick() - quiet
	}
	if !ok || known <= a.checked && a.world.Alive() {
		return
	}
	a.checked = known
	if known >= now { // the server is ahead of the inputs: nothing to predict
		a.world.Place(known, a.view.self, a.component, a.view.mirror.PackedResource)
		return
	}
	t := a.at(known)
	was := t.tick == known && len(t.saved) > 0
	if was && a.world.Alive() && a.world.Agrees(t.saved, a.component) {
		return
	}
	before, seen := *a.at(now), a.at(now).tick == now && a.at(now).placed
	if was {
		a.world.Load(t.saved)
	}
	a.world.Place(known, a.view.self, a.component, a.view.mirror.PackedResource)
	for tick := known + 1; tick <= now && now-known < aheadTicks; tick++ {
		next := a.at(tick)
		if next.tick != tick {
			*next = aheadTick{tick: tick}
		}
		a.run(next)
	}
	if after := a.at(now); seen && after.placed && was {
		a.wrong++
		dx, dy := before.x-after.x, before.y-after.y
		if math.Hypot(dx, dy) > Visible {
			a.wrongSeen++
		}
		a.shown.add(dx, dy, at)
	}
}

// forget ends the prediction of an entity that is out of sight, or that the client no longer controls.
func (a *ahead) forget() {
	a.self, a.checked, a.shown = a.view.self, 0, offset{}
	a.world.Remove()
	for i := range a.ticks {
		a.ticks[i].saved, a.ticks[i].placed = a.ticks[i].saved[:0], false
	}
}

// predicted appends the packed value of a component as it will be after the tick that the client has sampled last.
func (a *ahead) predicted(dst []byte, component string) ([]byte, bool) {
	return a.world.Component(dst, component)
}

// where returns where to draw the entity at a fractional tick: between the last two predicted ones, with what corrections have left.
func (a *ahead) where(tick float64, now time.Time) (x, y float64, ok bool) {
	last := a.world.Tick()
	to := a.at(last)
	if !a.world.Alive() || to.tick != last || !to.placed {
		return 0, 0, false
	}
	x, y = to.x, to.y
	if from := a.at(last - 1); from.tick == last-1 && from.placed && math.Hypot(to.x-from.x, to.y-from.y) < jumpMetres {
		f := math.Max(0, math.Min(1, tick-float64(last)))
		x, y = from.x+(to.x-from.x)*f, from.y+(to.y-from.y)*f
	}
	dx, dy := a.shown.left(now)
	return x + dx, y + dy, true
}

// smoothFor is the time in which half of a correction's distance vanishes from the picture.
const smoothFor = 50 * time.Millisecond

// jumpMetres is the distance from which a move within a tick is no walk: what is drawn jumps, too.
const jumpMetres = 8

// offset is a distance that vanishes with time.
type offset struct {
	x, y float64
	at   time.Time
}

// add adds a distance at a time, unless it is a jump.
func (o *offset) add(dx, dy float64, now time.Time) {
	x, y := o.left(now)
	if x, y = x+dx, y+dy; math.Hypot(x, y) >= jumpMetres {
		x, y = 0, 0
	}
	*o = offset{x, y, now}
}

// left returns what is left of it.
func (o *offset) left(now time.Time) (dx, dy float64) {
	if o.x == 0 && o.y == 0 {
		return 0, 0
	}
	f := math.Exp2(-float64(max(0, now.Sub(o.at))) / float64(smoothFor))
	if f < 1e-4 {
		*o = offset{}
		return 0, 0
	}
	return o.x * f, o.y * f
}

// place reads the position out of the spatial component's packed value.
type place struct {
	name string
	x, y *ecs.Field
}

// placeOf returns the place of a schema's spatial component, or nil.
func placeOf(s *ecs.Schema) *place {
	for i := range s.Components {
		if t := &s.Components[i]; t.Spatial {
			if x, y, err := t.Place(); err == nil {
				return &place{t.Name, x, y}
			}
		}
	}
	return nil
}

// of returns the position in a packed value.
func (p *place) of(packed []byte) (x, y float64) {
	return number(p.x, packed), number(p.y, packed)
}

func number(f *ecs.Field, packed []byte) float64 {
	if b := packed[f.PackedOffset:]; f.Kind == ecs.KindF32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	} else {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
}
