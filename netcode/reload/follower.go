package reload

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Runtime runs an instance's scripts. The follower calls it from Step; it must do no I/O.
type Runtime interface {
	// Modules returns the modules in force.
	Modules() []script.Module
	// Prepare compiles modules that replace those of the same names, without any effect, and keeps the result for a
	// while.
	Prepare(reload string, modules []script.Module) (script.Report, error)
	// Commit puts in force what was prepared. It refuses if something else has come into force since.
	Commit(reload string) error
	// Abort discards what was prepared.
	Abort(reload string)
}

// EventKind says what happened to an instance.
type EventKind uint8

// The events of a [Follower]. Those that answer an action carry its Flow.
const (
	EventStart   EventKind = iota + 1 // begin; with Insist, use the scripts that the instance came with, whatever the store has
	EventMade                         // answers ActionMake: Runtime, or Err
	EventAsked                        // a coordinator asks for Step
	EventLook                         // compare what runs with the store
	EventKept                         // answers ActionRead: Entry and Revision, or Err
	EventWritten                      // answers ActionWrite: OK, or Err if the result is unknown
	EventTold                         // the watch reports Entry, perhaps late
)

// Event is one thing that happened.
type Event struct {
	Kind     EventKind
	Flow     uint64
	Step     Step
	Insist   bool
	Runtime  Runtime
	Entry    Entry
	Revision uint64
	OK       bool
	Err      error
}

// ActionKind says what to do.
type ActionKind uint8

// The actions of a [Follower], to be performed in order. The first three need an answer: an event with the same Flow.
const (
	ActionMake   ActionKind = iota + 1 // make a runtime of Modules
	ActionRead                         // read the entry
	ActionWrite                        // replace the entry that has Revision with Entry
	ActionAnswer                       // answer the event that began the flow, with Answer or Err
	ActionLog                          // log Text for the operator
)

// Action is one thing to do.
type Action struct {
	Kind     ActionKind
	Flow     uint64
	Modules  []script.Module
	Entry    Entry
	Revision uint64
	Answer   Answer
	Err      error
	Level    slog.Level
	Text     string
	Reload   string
}

// Follower is an instance's side of the protocol: events in, actions out, no clock, no goroutine, no I/O. The package
// comment states its guarantees.
type Follower struct {
	name string          // of the instance
	own  []script.Module // the modules that it came with

	runtime    Runtime
	generation uint64 // of what is in force; 0: what the instance came with
	reload     string // id of the reload that brought it
	refused    uint64 // generation that cannot run here, so that it is tried and logged once

	plans   []plan
	flows   map[uint64]*flow
	next    uint64
	actions []Action
}

// plan is what was prepared here and waits for a commit.
type plan struct {
	reload string
	base   uint64 // newest generation known when it was prepared
	result []script.Module
	writes int // writes sent and not refused: the store may have the result
}

// maxPlans bounds the plans. A runtime keeps fewer.
const maxPlans = 8

// flow begins with one event and continues with the answers to its actions, one at a time.
type flow struct {
	id     uint64
	kind   flowKind
	step   Step
	insist bool
	entry  Entry // being made or written
	tries  int
}

type flowKind uint8

const (
	flowStart flowKind = iota + 1
	flowPrepare
	flowCommit
	flowLook
)

// NewFollower makes the follower of an instance that comes with modules. Its first event must be EventStart.
func NewFollower(name string, modules []script.Module) *Follower {
	return &Follower{name: name, own: modules, flows: map[uint64]*flow{}}
}

// Generation returns the generation in force; 0 means the scripts that the instance came with.
func (f *Follower) Generation() uint64 { return f.generation }

// Step takes an event and returns the actions to perform.
func (f *Follower) Step(ev Event) []Action {
	f.actions = nil
	switch ev.Kind {
	case EventStart:
		f.read(f.open(flow{kind: flowStart, insist: ev.Insist}))
	case EventAsked:
		f.asked(ev.Step)
	case EventLook:
		f.read(f.open(flow{kind: flowLook}))
	case EventTold:
		f.catchUp(ev.Entry)
	default:
		f.answered(ev)
	}
	return f.actions
}

// asked begins an operation.
func (f *Follower) asked(s Step) {
	switch s.Op {
	case OpPrepare:
		f.read(f.open(flow{kind: flowPrepare, step: s}))
	case OpCommit:
		if fl := f.open(flow{kind: flowCommit, step: s}); !f.decided(fl) {
			f.read(fl)
		}
	case OpAbort:
		f.drop(s.Reload)
		f.answer(f.open(flow{}), Answer{Generation: f.known()})
	case OpScripts:
		f.answer(f.open(flow{}), Answer{Generation: f.known(), Modules: Pack(f.runtime.Modules(), false)})
	default:
		f.fail(f.open(flow{}), rpc.Errorf(rpc.Unimplemented, "a reload has no step %.40q", s.Op))
	}
}

// answered continues a flow.
func (f *Follower) answered(ev Event) {
	fl := f.flows[ev.Flow]
	if fl == nil {
		return // answered before
	}
	switch fl.kind {
	case flowStart:
		f.start(fl, ev)
	case flowPrepare:
		f.prepare(fl, ev)
	case flowCommit:
		f.commit(fl, ev)
	case flowLook:
		f.look(fl, ev)
	}
}

// known returns the newest generation that this instance knows.
func (f *Follower) known() uint64 { return max(f.generation, f.refused) }

// prepare tries a reload on top of what the store has.
func (f *Follower) prepare(fl *flow, ev Event) {
	if ev.Err != nil {
		f.fail(fl, rpc.Errorf(rpc.FailedPrecondition, "cannot read which scripts are in force: %v", ev.Err))
		return
	}
	f.catchUp(ev.Entry)
	now := f.runtime.Modules()
	changes := fl.step.replacing(now)
	p := plan{reload: fl.step.Reload, base: f.known(), result: merged(now, changes)}
	report, err := f.runtime.Prepare(p.reload, changes)
	if err == nil {
		if err = entryOf(p.base+1, p.reload, p.result).fits(); err != nil {
			f.runtime.Abort(p.reload)
		}
	}
	if err != nil {
		f.fail(fl, rpc.Errorf(rpc.InvalidArgument, "%v", err))
		return
	}
	if before := f.plan(p.reload); before != nil {
		p.writes = before.writes
	}
	f.plans = slices.DeleteFunc(f.plans, func(x plan) bool { return x.reload == p.reload })
	f.plans = append(f.plans[max(0, len(f.plans)+1-maxPlans):], p)
	f.answer(fl, Answer{Report: &report, Generation: p.base, Origin: script.SHA256(f.own), Result: script.SHA256(p.result)})
}

// commit writes a reload to the store and then puts it in force.
func (f *Follower) commit(fl *flow, ev Event) {
	switch {
	case ev.Kind == EventKept && ev.Err != nil:
		f.refuse(fl, "the store does not answer: %v", ev.Err)
	case ev.Kind == EventKept && fl.is(ev.Entry):
		f.enter(fl, ev.Entry)
	case ev.Kind == EventKept:
		f.catchUp(ev.Entry)
		if !f.decided(fl) {
			p := f.plan(fl.step.Reload)
			p.writes++
			fl.entry = entryOf(fl.step.Generation, p.reload, p.result)
			f.write(fl, ev.Revision)
		}
	case ev.Err != nil:
		f.fail(fl, rpc.Errorf(rpc.Internal, "it is unknown whether the store has the scripts, which come into force here if it does: %v", ev.Err))
	case ev.OK:
		f.enter(fl, fl.entry)
	default:
		if p := f.plan(fl.step.Reload); p != nil {
			p.writes--
		}
		if fl.tries++; fl.tries > maxTries {
			f.refuse(fl, "another writer came first %d times", fl.tries)
			return
		}
		f.read(fl)
	}
}

// maxTries is how often a flow retries after it lost a compare-and-set.
const maxTries = 10

// is reports whether an entry belongs to the flow's reload.
func (fl *flow) is(e Entry) bool {
	return e.Reload == fl.step.Reload && e.Generation == fl.step.Generation
}

// decided answers a commit that is already in force, or no longer possible.
func (f *Follower) decided(fl *flow) bool {
	s := fl.step
	p := f.plan(s.Reload)
	switch {
	case s.Reload == f.reload && s.Generation == f.generation: // another instance wrote it, and this one followed
		f.drop(s.Reload)
		f.answer(fl, Answer{Generation: f.known()})
	case p == nil:
		f.fail(fl, rpc.Errorf(rpc.NotFound, "reload %.80q is not prepared here, or no longer is: start it again", s.Reload))
	case p.base != f.known() || s.Generation <= p.base:
		f.refuse(fl, "another reload came in between: start it again")
	default:
		return false
	}
	return true
}

// enter puts the store's entry in force and answers.
func (f *Follower) enter(fl *flow, e Entry) {
	var err error
	if e.Generation > f.known() { // else the watch was faster, or brought something newer
		if err = f.runtime.Commit(e.Reload); err != nil {
			err = f.apply(e)
		}
		f.entered(e, err)
	}
	f.drop(e.Reload)
	if err != nil {
		f.fail(fl, rpc.Errorf(rpc.Internal, "the store has it, but it cannot be put in force here: %v", err))
		return
	}
	f.answer(fl, Answer{Generation: f.known()})
}

// look follows the store. If the store is behind this instance, it writes what is in force here.
func (f *Follower) look(fl *flow, ev Event) {
	switch {
	case ev.Kind == EventKept && ev.Err == nil:
		if f.catchUp(ev.Entry); ev.Entry.Generation < f.generation {
			fl.entry = entryOf(f.generation, f.reload, f.runtime.Modules())
			f.write(fl, ev.Revision)
			return
		}
		f.answer(fl, Answer{Generation: f.known()})
	case ev.Err != nil:
		f.fail(fl, ev.Err)
	default: // written, or another writer came first: the next look will tell
		f.answer(fl, Answer{Generation: f.known()})
	}
}

// catchUp puts an entry in force if it is newer than what is in force here, or another set of the same generation, which
// then reached the store first.
func (f *Follower) catchUp(e Entry) {
	if f.runtime == nil || e.Generation < f.generation || e.Generation <= f.refused {
		return
	}
	if e.SHA256 == script.SHA256(f.runtime.Modules()) {
		f.generation, f.reload = e.Generation, e.Reload
		return
	}
	asked := f.plan(e.Reload) != nil // the watch is faster than the coordinator, which reports this reload itself
	err := f.apply(e)
	f.entered(e, err)
	if err != nil {
		f.log(slog.LevelError, "scripts reloaded elsewhere cannot be put in force here: reload again (wind reload)", e.Reload, err)
		return
	}
	if asked {
		f.log(slog.LevelInfo, "reloaded scripts are in force", e.Reload, nil)
		return
	}
	f.log(slog.LevelInfo, "scripts reloaded without this instance are now in force here", e.Reload, nil)
}

// entered records the result of applying an entry.
func (f *Follower) entered(e Entry, err error) {
	if err != nil {
		f.refused = e.Generation
		return
	}
	f.generation, f.reload = e.Generation, e.Reload
}

// apply puts an entry in force. Plans cannot be committed after that, so it aborts them to free the runtime's room.
func (f *Follower) apply(e Entry) error {
	modules, err := Unpack(e.Modules)
	if err != nil {
		return err
	}
	for _, p := range f.plans {
		f.runtime.Abort(p.reload)
	}
	id := e.Reload + " (followed)" // differs from the id of a coordinator's own prepare
	if _, err := f.runtime.Prepare(id, InPlaceOf(f.runtime.Modules(), modules)); err != nil {
		return err
	}
	return f.runtime.Commit(id)
}

// plan returns what was prepared under an id, or nil.
func (f *Follower) plan(reload string) *plan {
	if i := slices.IndexFunc(f.plans, func(p plan) bool { return p.reload == reload }); i >= 0 {
		return &f.plans[i]
	}
	return nil
}

// drop discards what was prepared under an id.
func (f *Follower) drop(reload string) {
	f.plans = slices.DeleteFunc(f.plans, func(p plan) bool { return p.reload == reload })
	f.runtime.Abort(reload)
}

// refuse fails a commit that has changed nothing and never will. If the same commit came twice, the other one may have:
// the error then leaves that open.
func (f *Follower) refuse(fl *flow, format string, args ...any) {
	code := rpc.FailedPrecondition
	if p := f.plan(fl.step.Reload); p != nil && p.writes > 0 {
		code = rpc.Internal
	}
	f.drop(fl.step.Reload)
	f.fail(fl, rpc.Errorf(code, format, args...))
}

// open begins a flow.
func (f *Follower) open(fl flow) *flow {
	f.next++
	fl.id = f.next
	f.flows[fl.id] = &fl
	return &fl
}

func (f *Follower) read(fl *flow) { f.do(Action{Kind: ActionRead, Flow: fl.id}) }

func (f *Follower) write(fl *flow, revision uint64) {
	f.do(Action{Kind: ActionWrite, Flow: fl.id, Entry: fl.entry, Revision: revision})
}

// answer ends a flow.
func (f *Follower) answer(fl *flow, a Answer) {
	delete(f.flows, fl.id)
	f.do(Action{Kind: ActionAnswer, Flow: fl.id, Answer: a})
}

// fail ends a flow with an error.
func (f *Follower) fail(fl *flow, err error) {
	delete(f.flows, fl.id)
	f.do(Action{Kind: ActionAnswer, Flow: fl.id, Err: err})
}

func (f *Follower) log(level slog.Level, text, reload string, err error) {
	f.do(Action{Kind: ActionLog, Level: level, Text: text, Reload: reload, Err: err})
}

func (f *Follower) do(a Action) { f.actions = append(f.actions, a) }

// folderReload returns the reload id for scripts that an instance's folder puts in force at its start.
func folderReload(name string) string { return fmt.Sprintf("the folder of %s", name) }
