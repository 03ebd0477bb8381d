package ecs

import (
	"errors"
	"fmt"
	"reflect"

	arche "github.com/mlange-42/arche/ecs"
)

// World is one simulated world. It is not safe for concurrent use, with one exception: between two Steps, the read-only
// methods (Tables, the methods of Table, Locate, EachSession, AppendSnapshot, Recompute…) may run concurrently with
// each other. Validate, AppendFrame and DecodeFrame use the world's scratch memory and are not among them.
type World struct {
	arche       arche.World
	game        Game
	seed        uint64
	options     []byte
	optionValue any
	tick        uint64
	poison      error             // why the world is unusable
	sealed      bool              // Setup is over
	names       map[string]bool   // claimed in Setup
	forms       map[formKey]*form // made in Setup or by the world that this one is like; nobody changes them
	like        map[formKey]*form // those of that world
	identity    uint64

	schema                       Schema
	components                   []*component
	componentOf                  map[reflect.Type]*component
	resources                    []*resource
	resourceOf                   map[reflect.Type]*resource
	events                       []*stream
	eventOf                      map[reflect.Type]*stream
	handlers                     []*handler // by Command.Kind
	handlerOf                    map[reflect.Type]*handler
	sampled                      []*handler // the sampled ones, in the order of handlers
	outgoing                     []*form
	outgoingOf                   map[reflect.Type]*form
	inits                        []*call
	systems                      []*call
	predicted                    []string // names that Predict was given
	ahead                        ahead
	running                      running
	clock                        func() int64 // for Measure; nil: nothing is timed
	bundles                      []*bundle
	tables                       []*Table // in the order of creation
	tableOf                      map[mask]*Table
	inhabited                    []uint64 // one bit per table, set while it has rows
	uninhabited                  int      // tables without rows
	shape                        uint64   // changes with inhabited: tells queries to look again
	made                         uint64   // tables ever made; not state
	nodes                        int      // approximate number of arche's graph nodes; not state
	places                       []place  // by entity id
	pool                         pool
	living                       int
	sessions                     sessions
	now                          Tick
	queue                        []op
	queued                       []byte // values of queued operations
	rejection                    rejection
	valueSum                     uint64 // of form.hash over the committed values, resources included
	layoutSum                    uint64 // of layoutHash over the rows and tableHash over the tables
	changes                      changes
	messages                     []message
	messageBytes                 []byte
	messageMark, messageByteMark int
	messageWeight                int // of the messages, in record bytes
	faults                       int // failures of this tick that are not rejections
	out                          Output
	addRemove                    [1]arche.ID
	recording                    recording
	attached                     map[reflect.Type]any // see Attach
	combined                     map[mask]*bundle     // for Access.Spawn
}

// mask is a set of components, by id.
type mask [4]uint64

func (m *mask) set(i int)      { m[i>>6] |= 1 << (i & 63) }
func (m *mask) flip(i int)     { m[i>>6] ^= 1 << (i & 63) }
func (m *mask) has(i int) bool { return m[i>>6]>>(i&63)&1 == 1 }
func (m *mask) covers(n mask) bool {
	return m[0]&n[0] == n[0] && m[1]&n[1] == n[1] && m[2]&n[2] == n[2] && m[3]&n[3] == n[3]
}
func (m *mask) meets(n mask) bool { return m[0]&n[0]|m[1]&n[1]|m[2]&n[2]|m[3]&n[3] != 0 }

// firstRows is a table's capacity when it gets its first row.
const firstRows = 16

func newWorld(g Game, seed uint64, options []byte, value any) *World {
	w := &World{
		names: map[string]bool{}, forms: map[formKey]*form{},
		arche: arche.NewWorld(firstRows), game: g, seed: seed, options: options, optionValue: value,
		componentOf: map[reflect.Type]*component{}, resourceOf: map[reflect.Type]*resource{}, eventOf: map[reflect.Type]*stream{},
		handlerOf: map[reflect.Type]*handler{}, outgoingOf: map[reflect.Type]*form{}, tableOf: map[mask]*Table{},
		pool: newPool(), places: []place{nowhere},
	}
	w.now.w, w.sessions.w = w, w
	w.identity = bytesHash(seed^nameSeed(g.Name), options)
	return w
}

// ErrPoisoned is wrapped by every error of a world after a failed Apply.
var ErrPoisoned = errors.New("the world is unusable")

// Err returns nil, or the reason why the world is unusable: an Apply failed halfway. Restore another world.
func (w *World) Err() error { return w.poison }

// mustWork panics if the world is unusable: its host ignored an error.
func (w *World) mustWork(what string) {
	if w.poison != nil {
		panic(fmt.Sprintf("ecs: %s: %v", what, w.poison))
	}
}

// Tick returns the number of the last completed tick, 0 for a new world.
func (w *World) Tick() uint64 { return w.tick }

// Len returns the number of living entities.
func (w *World) Len() int { return w.living }

// Seed returns the seed that the world was made with.
func (w *World) Seed() uint64 { return w.seed }

// Game returns the game that the world was made with.
func (w *World) Game() Game { return w.game }

// Options returns the options that the world was made with, as JSON. The caller must not modify them.
func (w *World) Options() []byte { return w.options }

// Schema describes the registered types. The caller must not modify it.
func (w *World) Schema() *Schema { return &w.schema }
