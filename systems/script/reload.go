package script

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// maySend reports whether a source may change the scripts.
func maySend(s ecs.Source) bool { return s.Kind == ecs.SourceHost || s.Kind == ecs.SourceOperator }

const notYou = "only the host and operators change scripts"

// stage handles wind.script.part. A part of a new reload discards the staged parts of the one before.
func stage(t *ecs.Tick, c *ecs.Cmd[part], v *ecs.Res[inForce], q *ecs.Query[loading], spawn *ecs.Spawner[struct {
	chunk
	staged
}],
) {
	if !maySend(c.Source()) {
		c.Reject(notYou)
	}
	p := &c.Value.Piece
	if v.Get().Staging == c.Value.Reload {
		if q.Count() >= maxParts {
			c.Reject(fmt.Sprintf("a reload has at most %d parts", maxParts))
		}
		for x := range q.Each {
			if x.Chunk.Module == p.Module && x.Chunk.Index == p.Index {
				c.Reject(fmt.Sprintf("piece %d of %s has already arrived", p.Index+1, p.Module))
			}
		}
	} else {
		for x := range q.Each {
			t.Despawn(x.Self)
		}
		v.Get().Staging = c.Value.Reload
	}
	spawn.New(struct {
		chunk
		staged
	}{chunk: *p})
}

// commit handles wind.script.commit. The scripts in force stay if anything is wrong. Otherwise the new scripts run from
// here on: for the commands that follow in the frame, and for the systems of this tick.
func (h *world) commit(t *ecs.Tick, c *ecs.Cmd[commit], a *ecs.Access, v *ecs.Res[inForce], now *ecs.Query[scripts], next *ecs.Query[loading], mark *ecs.Comp[staged]) {
	if !maySend(c.Source()) {
		c.Reject(notYou)
	}
	changes, set, err := h.prepare(a.Schema(), &c.Value, v.Get(), now, next)
	if err != nil {
		c.Reject(err.Error())
	}
	for x := range now.Each {
		if slices.ContainsFunc(changes, func(m Module) bool { return m.Name == x.Chunk.Module.String() }) {
			t.Despawn(x.Self)
		}
	}
	for x := range next.Each {
		if c.Value.Reload == 0 || x.Chunk.Of == 0 {
			t.Despawn(x.Self)
		} else {
			mark.Remove(x.Self)
		}
	}
	*v.Get() = inForce{Generation: v.Get().Generation + 1, SHA: c.Value.SHA, Budget: c.Value.Budget}
	h.use(set, nil, v.Get())
}

// prepare compiles the scripts that a commit would put in force.
func (h *world) prepare(schema *ecs.Schema, c *commit, v *inForce, now *ecs.Query[scripts], next *ecs.Query[loading]) (changes []Module, set *Set, err error) {
	if c.Reload != 0 && c.Reload != v.Staging {
		return nil, nil, fmt.Errorf("the parts of this reload are missing: none arrived, or another reload has begun")
	}
	if c.Reload != 0 {
		var chunks []*chunk
		for x := range next.Each {
			chunks = append(chunks, x.Chunk)
		}
		if changes, err = join(chunks); err != nil {
			return nil, nil, err
		}
	}
	modules, err := join(chunksOf(now))
	if err != nil {
		return nil, nil, err
	}
	if modules, err = merge(modules, changes); err != nil {
		return nil, nil, err
	}
	if got := sum(modules); got != c.SHA {
		return nil, nil, fmt.Errorf("the scripts would hash to %x, not %x: another reload came in between", got[:6], c.SHA[:6])
	}
	set, err = Load(modules, h.options(schema))
	return changes, set, err
}

// Status describes the scripts in force in a world.
type Status struct {
	Modules    []Module // by name; copies
	Generation uint64   // reloads so far; 0: the world has no scripts
	Budget     uint64   // steps of one run of a function
	SHA256     string   // of the modules
}

// InForce returns the scripts in force in a world. Call it between ticks. A world without script.Register has no
// scripts.
func InForce(w *ecs.World) (Status, error) {
	if _, ok := ecs.Attached[*world](w); !ok {
		return Status{}, nil
	}
	i, _ := w.Schema().Component("wind.script")
	j, _ := w.Schema().Component("wind.script.staged")
	codec, err := ecs.NewCodec[chunk]()
	if err != nil {
		return Status{}, err
	}
	typ := &w.Schema().Components[i]
	var chunks []*chunk
	for _, t := range w.Tables() {
		column, ok := t.Column(i)
		if !ok || t.Has(j) {
			continue
		}
		for row := range t.Len() {
			c := new(chunk)
			if err := codec.Decode(packed(typ, column.Data[row*column.Stride:]), c); err != nil {
				return Status{}, err
			}
			chunks = append(chunks, c)
		}
	}
	modules, err := join(chunks)
	if err != nil {
		return Status{}, err
	}
	v := ecs.ResourceOf[inForce](w)
	return Status{Modules: modules, Generation: v.Generation, Budget: v.Budget, SHA256: SHA256(modules)}, nil
}

// packed returns the encoded form of a value in memory.
func packed(typ *ecs.Type, memory []byte) (b []byte) {
	for i := range typ.Fields {
		f := &typ.Fields[i]
		b = append(b, memory[f.Offset:f.Offset+f.Count*f.Width]...)
	}
	return b
}

// DryRun reports what a reload with these modules, in the sense of Set.Replace, would change in a world, or returns an
// error that says why the reload would fail. It compiles and runs the modules and checks the names of components,
// resources, events, systems and commands in them. Call it between ticks. It does not change the world.
func DryRun(w *ecs.World, modules []Module) (Report, error) {
	_, r, err := dryRun(w, modules)
	return r, err
}

func dryRun(w *ecs.World, modules []Module) (next *Set, r Report, err error) {
	h, ok := ecs.Attached[*world](w)
	if !ok {
		return nil, r, fmt.Errorf("script: game %s has no scripts: its Setup does not call script.Register", w.Game().Name)
	}
	status, err := InForce(w)
	if err != nil {
		return nil, r, err
	}
	o := h.options(w.Schema())
	now, err := Load(status.Modules, o)
	if err != nil { // from another build; a reload must be able to repair this
		now = &Set{modules: status.Modules}
	}
	if next, r, err = now.Replace(modules, o); err != nil {
		return nil, r, err
	}
	// A world that has such a value in force, from before this was refused, goes on as it did.
	return next, r, cmp.Or(next.OnlyFunctions("", "system_"), next.OnlyFunctions("", "handle_"))
}

// Commands returns the commands of a reload, after a DryRun: first the parts, then the commit, numbered from seq on.
// Put them into frames in this order, in one tick or several. budget is how many steps a function may take in a run.
// Commands returns no commands if everything is already in force.
func Commands(w *ecs.World, source ecs.Source, seq uint64, modules []Module, budget uint64) ([]ecs.Command, error) {
	if !maySend(source) {
		return nil, fmt.Errorf("script: a reload from %s: %s", source, notYou)
	}
	last := &commit{Budget: budget}
	if err := last.Validate(); err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	next, _, err := dryRun(w, modules)
	if err != nil {
		return nil, err
	}
	status, err := InForce(w)
	if err != nil {
		return nil, err
	}
	changes := difference(status.Modules, modules)
	if len(changes) == 0 && budget == status.Budget && status.Generation > 0 {
		return nil, nil
	}
	last.SHA = sum(next.Modules())
	if len(changes) > 0 {
		last.Reload = binary.LittleEndian.Uint64(last.SHA[:]) ^ (status.Generation + 1)
		last.Reload = max(last.Reload, 1)
	}
	var commands []ecs.Command
	for _, m := range changes {
		for _, p := range split(last.Reload, m) {
			commands = append(commands, ecs.NewCommand(w, source, seq+uint64(len(commands)), p))
		}
	}
	return append(commands, ecs.NewCommand(w, source, seq+uint64(len(commands)), *last)), nil
}

// difference returns the changes that are not in modules yet.
func difference(modules, changes []Module) (d []Module) {
	for _, m := range changes {
		i := slices.IndexFunc(modules, func(x Module) bool { return x.Name == m.Name })
		if i < 0 || m.Source == nil || !bytes.Equal(modules[i].Source, m.Source) {
			d = append(d, m)
		}
	}
	return d
}

// Genesis returns the commands that put Config.Modules in force, for the first tick of a new world: from the host,
// numbered from 1. It returns no commands for a world without script.Register or with an empty Config.Modules.
func Genesis(w *ecs.World) ([]ecs.Command, error) {
	h, ok := ecs.Attached[*world](w)
	if !ok || len(h.config.Modules) == 0 {
		return nil, nil
	}
	return Commands(w, ecs.Source{Kind: ecs.SourceHost}, 1, h.config.Modules, h.config.Budget)
}
