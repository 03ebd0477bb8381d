package reload

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Runtime is what an instance runs. The follower calls it from Step, and it does no I/O.
type Runtime interface {
	// Modules are those in force.
	Modules() []script.Module
	// Prepare compiles modules in place of those of the same names, without any effect, and holds the result for a while.
	Prepare(reload string, modules []script.Module) (script.Report, error)
	// Commit puts in force what was prepared, and refuses when something else came into force since.
	Commit(reload string) error
	// Abort forgets what was prepared.
	Abort(reload string)
}

// EventKind says what happened to an instance.
type EventKind uint8

// The events of a [Follower]. Those that answer an action carry its Flow.
const (
	EventStart   EventKind = iota + 1 // begin; Insist: with the scripts that the instance came with, whatever is kept
	EventMade                         // answers ActionMake: Runtime, or Err
	EventAsked                        // a coordinator asks for Step
	EventLook                         // compare what runs with the store
	EventKept                         // answers ActionRead: Entry and Revision, or Err
	EventWritten                      // answers ActionWrite: OK, or Err when that is not known
	EventTold                         // the watch tells Entry, perhaps late
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

// ActionKind says what is to be done.
type ActionKind uint8

// The actions of a [Follower], to be done in their order. The first three want an answer, an event with the same Flow.
const (
	ActionMake   ActionKind = iota + 1 // make the runtime of Modules
	ActionRead                         // read the entry
	ActionWrite                        // replace the entry of Revision by Entry
	ActionAnswer                       // the answer to the event that began the flow: Answer, or Err
	ActionLog                          // tell the operator
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

// Follower is an instance's side of the protocol: events in, actions out, no clock, no goroutine, no I/O. Package reload says
// what it promises.
type Follower struct {
	name string          // of the instance
	own  []script.Module // it came with these

	runtime    Runtime
	generation uint64 // of what is in force; 0: the instance came with it
	reload     string // id of the reload that brought it
	refused    uint64 // generation of what cannot run here, so that it is tried and told once

	plans   []plan
	flows   map[uint64]*flow
	next    uint64
	actions []Action
}

// plan is what was prepared here and waits for a commit.
type plan struct {
	reload string
	base   uint64 // newest generation that was known when it was prepared
	result []script.Module
	writes int // that were sent and not refused: the store may have it
}

// maxPlans bounds them: a runtime holds fewer.
const maxPlans = 8

// flow is what began with one event and goes on with the answers to its actions, one at a time.
type flow struct {
	id     uint64
	kind   flowKind
	step   Step
	insist bool
	entry  Entry // that is being made or written
	tries  int
}

type flowKind uint8

const (
	flowStart flowKind = iota + 1
	flowPrepare
	flowCommit
	flowLook
)

// NewFollower makes the side of an instance that comes with modules. Its first event is EventStart.
func NewFollower(name string, modules []script.Module) *Follower {
	return &Follower{name: name, own: modules, flows: map[uint64]*flow{}}
}

// Generation is that of what is in force; 0: the scripts that the instance came with.
func (f *Follower) Generation() uint64 { return f.generation }

// Step takes an event and says what is to be done.
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

// answered goes on with a flow.
func (f *Follower) answered(ev Event) {
	fl := f.flows[ev.Flow]
	if fl == nil {
		return // answered twice
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

// known is the newest generation that this instance knows.
func (f *Follower) known() uint64 { return max(f.generation, f.refused) }

// prepare tries a reload on top of what the store has.
func (f *Follower) prepare(fl *flow, ev Event) {
	if ev.Err != nil {
		f.fail(fl, rpc.Errorf(rpc.FailedPrecondition, "the store does not say which scripts are in force: %v", ev.Err))
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

// commit keeps a reload in the store, and then puts it in force.
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
		f.fail(fl, rpc.Errorf(rpc.Internal, "the store did not say whether it keeps the scripts, which come into force here if it does: %v", ev.Err))
	case ev.OK:
		f.enter(fl, fl.entry)
	default:
		if p := f.plan(fl.step.Reload); p != nil {
			p.writes--
		}
		if fl.tries++; fl.tries > maxTries {
			f.refuse(fl, "others wrote to the store at the same time, %d times", fl.tries)
			return
		}
		f.read(fl)
	}
}

// maxTries is how often a flow that lost a compare-and-set tries again.
const maxTries = 10

// is reports whether an entry is of the flow's reload.
func (fl *flow) is(e Entry) bool {
	return e.Reload == fl.step.Reload && e.Generation == fl.step.Generation
}

// decided answers a commit that is in force already, or cannot be any more.
func (f *Follower) decided(fl *flow) bool {
	s := fl.step
	p := f.plan(s.Reload)
	switch {
	case s.Reload == f.reload && s.Generation == f.generation: // another instance kept it, and this one followed
		f.drop(s.Reload)
		f.answer(fl, Answer{Generation: f.known()})
	case p == nil:
		f.fail(fl, rpc.Errorf(rpc.NotFound, "reload %.80q is not prepared here, or not any more: begin it anew", s.Reload))
	case p.base != f.known() || s.Generation <= p.base:
		f.refuse(fl, "another reload came in between: begin it anew")
	default:
		return false
	}
	return true
}

// enter puts in force what the store has, and answers.
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
		f.fail(fl, rpc.Errorf(rpc.Internal, "it is kept, and cannot be put in force here: %v", err))
		return
	}
	f.answer(fl, Answer{Generation: f.known()})
}

// look follows the store, or fills it where it has less than what is in force here.
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
	default: // written, or somebody else wrote: the next look tells
		f.answer(fl, Answer{Generation: f.known()})
	}
}

// catchUp puts an entry in force if it is newer than what is, or another set of the same generation: then that was kept first.
func (f *Follower) catchUp(e Entry) {
	if f.runtime == nil || e.Generation < f.generation || e.Generation <= f.refused {
		return
	}
	if e.SHA256 == script.SHA256(f.runtime.Modules()) {
		f.generation, f.reload = e.Generation, e.Reload
		return
	}
	err := f.apply(e)
	f.entered(e, err)
	if err != nil {
		f.log(slog.LevelError, "what was reloaded elsewhere cannot be put in force here: reload again (wind reload)", e.Reload, err)
		return
	}
	f.log(slog.LevelInfo, "what was reloaded without this instance is in force here", e.Reload, nil)
}

// entered notes what became of an entry.
func (f *Follower) entered(e Entry, err error) {
	if err != nil {
		f.refused = e.Generation
		return
	}
	f.generation, f.reload = e.Generation, e.Reload
}

// apply puts an entry in force. What is prepared cannot be committed after that, and must not take up the runtime's room for it.
func (f *Follower) apply(e Entry) error {
	modules, err := Unpack(e.Modules)
	if err != nil {
		return err
	}
	for _, p := range f.plans {
		f.runtime.Abort(p.reload)
	}
	id := e.Reload + " (followed)" // beside what a coordinator may have prepared
	if _, err := f.runtime.Prepare(id, InPlaceOf(f.runtime.Modules(), modules)); err != nil {
		return err
	}
	return f.runtime.Commit(id)
}

// plan is what was prepared under an id; nil: nothing.
func (f *Follower) plan(reload string) *plan {
	if i := slices.IndexFunc(f.plans, func(p plan) bool { return p.reload == reload }); i >= 0 {
		return &f.plans[i]
	}
	return nil
}

// drop forgets what was prepared under an id.
func (f *Follower) drop(reload string) {
	f.plans = slices.DeleteFunc(f.plans, func(p plan) bool { return p.reload == reload })
	f.runtime.Abort(reload)
}

// refuse ends a commit that has changed nothing and never will, unless the same commit came twice and the other one may have.
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

// folderReload is the id of what an instance's folder puts in force when it starts.
func folderReload(name string) string { return fmt.Sprintf("the folder of %s", name) }
