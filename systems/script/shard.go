package script

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/ecs"
)

// Config configures the scripts of a game's worlds.
type Config struct {
	// The modules that a new world begins with. Listing them does not put them in force: the host sends them as
	// commands of the first tick, see Genesis, so that the log records what ran.
	Modules []Module
	Budget  uint64                    // steps of one run of a function, for Genesis; 0: DefaultBudget
	Print   func(module, text string) // gets what scripts print; nil discards it. It must not look at the world.
}

// world is what this package attaches to a world: what Setup configured, and the compiled form of the scripts in force,
// rebuilt from the world's state whenever that state changes.
type world struct {
	config   Config
	systems  []string
	commands []string
	names    map[string]string // function names, to the name of their system or command

	functions map[string]*starlark.Function // of the set in force, by name
	of        inForce                       // the state they were compiled from
	broken    error                         // why nothing compiled

	fields map[string]place // paths that scripts have used

	printed       Lines // in the current second of the simulation
	printedSecond uint64
}

// lines limits what a world's scripts print in a second of simulation. The host keeps it: the world does not depend on
// it.
//
//windvet:allow printing does not change the world
func (h *world) lines(t *ecs.Tick) *Lines {
	if second := uint64(t.Now()) / uint64(max(1, t.Rate())); second != h.printedSecond {
		h.printed, h.printedSecond = Lines{}, second
	}
	return &h.printed
}

// scripts is the view of the scripts in force.
type scripts struct {
	Self  ecs.Entity
	Chunk *chunk `ecs:"read"`
	_     ecs.Without[staged]
}

// loading is the view of the staged parts of a reload.
type loading struct {
	Self  ecs.Entity
	Chunk *chunk `ecs:"read"`
	_     ecs.With[staged]
}

// Register gives a world scripts: the components wind.script and wind.script.staged, the resource wind.scripts and the
// commands wind.script.part and wind.script.commit, which only the host and operators may send. Call it inside Setup,
// before System and Handle.
func Register(w *ecs.World, c Config) {
	h := &world{config: c, names: map[string]string{}, fields: map[string]place{}}
	if h.config.Budget == 0 {
		h.config.Budget = DefaultBudget
	}
	ecs.Attach(w, h)
	ecs.Component[chunk](w, "wind.script")
	ecs.Component[staged](w, "wind.script.staged")
	ecs.Resource[inForce](w, "wind.scripts")
	ecs.Handle[part](w, "wind.script.part", stage)
	ecs.Handle[commit](w, "wind.script.commit", h.commit)
}

func registered(w *ecs.World, what string) *world {
	h, ok := ecs.Attached[*world](w)
	if !ok {
		panic(what + " without script.Register in the game's Setup")
	}
	return h
}

// System adds a system that runs the function system_<name>(tick) of the scripts in force, if they define it. Each .
// and - in the name becomes _ in the function's. An error in it is a Failure of the system, like a panic of a Go
// system. Call System inside Setup.
func System(w *ecs.World, name string) {
	h := registered(w, "script.System")
	function := h.claim("system_", name)
	h.systems = append(h.systems, function)
	ecs.System(w, name, func(t *ecs.Tick, a *ecs.Access, v *ecs.Res[inForce], s *ecs.Query[scripts], all *ecs.Sessions) {
		if f := h.function(a, v, s, function); f != nil {
			r := &run{h: h, t: t, a: a, sessions: all}
			if err := r.call(f, v.Get().Budget, &tickValue{r: r}); err != nil {
				panic(err)
			}
		}
	})
}

// Handle registers the command C, as ecs.Handle does, with the function handle_<name>(tick, cmd) of the scripts in
// force as its handler. If they do not define it, the command is rejected. Call Handle inside Setup.
func Handle[C any](w *ecs.World, name string, options ...ecs.CommandOption) {
	h := registered(w, "script.Handle")
	function := h.claim("handle_", name)
	h.commands = append(h.commands, function)
	ecs.Handle[C](w, name, func(t *ecs.Tick, c *ecs.Cmd[C], a *ecs.Access, v *ecs.Res[inForce], s *ecs.Query[scripts], all *ecs.Sessions) {
		f := h.function(a, v, s, function)
		if f == nil {
			c.Reject("no script handles " + name)
		}
		i, _ := a.Schema().Command(name)
		typ := &a.Schema().Commands[i]
		r := &run{h: h, t: t, a: a, sessions: all}
		value := &record{typ: typ, b: unsafe.Slice((*byte)(unsafe.Pointer(&c.Value)), typ.Size)}
		err := r.call(f, v.Get().Budget, &tickValue{r: r}, &cmdValue{r: r, value: value, source: c.Source(), from: c.From(), seq: c.Seq(), repeated: c.Repeated(), neutral: c.Neutral()})
		if why, ok := rejectionOf(err); ok {
			c.Reject(why)
		}
		if err != nil {
			panic(err)
		}
	}, options...)
}

// claim reserves the function's name and returns it.
func (h *world) claim(prefix, name string) string {
	function := prefix + strings.NewReplacer(".", "_", "-", "_").Replace(name)
	if other, ok := h.names[function]; ok {
		panic(fmt.Sprintf("script: %q and %q both need the function name %s", other, name, function))
	}
	h.names[function] = name
	return function
}

// function finds a function of the scripts in force. It panics if this program cannot use them, which is a Failure of
// the system or command.
func (h *world) function(a *ecs.Access, v *ecs.Res[inForce], s *ecs.Query[scripts], name string) *starlark.Function {
	state := v.Get()
	if state.Generation == 0 {
		return nil
	}
	if h.of.Generation != state.Generation || h.of.SHA != state.SHA {
		set, err := h.compile(a.Schema(), s, state)
		h.use(set, err, state)
	}
	if h.broken != nil {
		panic(h.broken)
	}
	return h.functions[name]
}

// use makes set, or the error err, the compiled form of state.
//
//windvet:allow the compiled form of a resource, rebuilt from it in every world that lacks it
func (h *world) use(set *Set, err error, state *inForce) {
	h.of, h.broken, h.functions = *state, err, map[string]*starlark.Function{}
	if err == nil {
		for _, f := range set.Functions("", "") {
			h.functions[f.Name] = f.Func
		}
	}
}

// compile loads the set of the scripts in force.
func (h *world) compile(schema *ecs.Schema, s *ecs.Query[scripts], state *inForce) (*Set, error) {
	modules, err := join(chunksOf(s))
	if err != nil {
		return nil, err
	}
	if sum(modules) != state.SHA {
		return nil, fmt.Errorf("script: the modules in force do not match the hash in wind.scripts")
	}
	return Load(modules, h.options(schema))
}

func chunksOf(s *ecs.Query[scripts]) (chunks []*chunk) {
	for v := range s.Each {
		chunks = append(chunks, v.Chunk)
	}
	return chunks
}

// options returns the options that a world loads scripts with.
func (h *world) options(schema *ecs.Schema) Options {
	rules := []Rule{{Prefix: "system_", Params: []string{"tick"}}, {Prefix: "handle_", Params: []string{"tick", "cmd"}}}
	known := slices.Sorted(slices.Values(append(slices.Clone(h.systems), h.commands...)))
	i := inspector{schema: schema, functions: known}
	return Options{Predeclared: builtins(), Rules: rules, inspect: i.file}
}
