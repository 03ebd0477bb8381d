package reload

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Config says which scripts to put in force, and where.
type Config struct {
	Type      string          // of the service
	Instances []string        // all instances that serve the type, according to discovery
	Modules   []script.Module // as for script.Set.Replace: a module without a source is removed
	Whole     bool            // remove other modules that an instance has in force
	DryRun    bool            // prepare everywhere but change nothing
}

// State says what one or all instances run after a reload.
type State string

// The states. A reload is Committed, Checked (a dry run that succeeded everywhere), Refused (nothing has changed
// anywhere, nor will it) or Mixed (some instances run the new scripts, others do not or did not report). An instance has
// any state but Mixed.
const (
	Committed State = "committed"
	Checked   State = "checked"
	Refused   State = "refused"
	Unknown   State = "unknown"
	Mixed     State = "mixed"
)

// Result is the outcome of a reload.
type Result struct {
	Reload    string    `json:"reload"` // its id
	State     State     `json:"state"`
	Instances []Outcome `json:"instances"` // in the order of the config
}

// Outcome is the outcome of a reload in one instance.
type Outcome struct {
	Instance string         `json:"instance"`
	State    State          `json:"state"`
	Report   *script.Report `json:"report,omitempty"` // of its dry run
	Error    string         `json:"error,omitempty"`  // has file and line if a script is to blame

	origin, result string
}

// Request asks one instance for a step.
type Request struct {
	Instance string
	Step     Step
}

// Reply answers a request. It has the operation, and the instance's answer or the error of reaching it.
type Reply struct {
	Instance string
	Op       Op
	Answer   Answer
	Err      error
}

// Coordinator is an operator's side of a reload: replies in, requests out, no clock, no goroutine, no I/O. The caller
// must answer every request, at the latest with a timeout.
type Coordinator struct {
	cfg        Config
	result     Result
	op         Op            // the current operation
	asked      map[string]Op // instance → operation that it has not answered yet
	generation uint64        // newest that an instance reported
	cancelled  error
	err        error
}

// Begin begins a reload under an id that was never used before. Without instances it is done at once.
func Begin(id string, cfg Config) (*Coordinator, []Request) {
	c := &Coordinator{cfg: cfg, result: Result{Reload: id, State: Refused}, asked: map[string]Op{}}
	if len(cfg.Instances) == 0 {
		c.err = rpc.Errorf(rpc.Unavailable, "no instance of %s is up", cfg.Type)
		return c, nil
	}
	for _, i := range cfg.Instances {
		c.result.Instances = append(c.result.Instances, Outcome{Instance: i, State: Refused})
	}
	return c, c.ask(OpPrepare, func(*Outcome) bool { return true })
}

// Cancel cancels the reload unless it has begun to commit. A reload that is committing continues to its end, because
// half a commit is worse.
func (c *Coordinator) Cancel(why error) { c.cancelled = why }

// Done reports whether all requests have been answered.
func (c *Coordinator) Done() bool { return len(c.asked) == 0 }

// Result returns the outcome of a reload that is done. The error names the instances that failed, with their texts. A
// Mixed result is an error, too.
func (c *Coordinator) Result() (Result, error) { return c.result, c.err }

// Step takes a reply and returns the next requests. It ignores a reply that it does not expect.
func (c *Coordinator) Step(r Reply) []Request {
	if op, ok := c.asked[r.Instance]; !ok || op != r.Op {
		return nil
	}
	delete(c.asked, r.Instance)
	o := &c.result.Instances[slices.Index(c.cfg.Instances, r.Instance)]
	switch r.Op {
	case OpPrepare:
		c.prepared(o, r)
	case OpCommit:
		return append(c.committed(o, r), c.proceed()...)
	case OpScripts:
		c.told(o, r)
	}
	return c.proceed()
}

// proceed continues once all requests have been answered.
func (c *Coordinator) proceed() []Request {
	if len(c.asked) > 0 {
		return nil
	}
	switch c.op {
	case OpPrepare:
		return c.decide()
	case OpCommit:
		c.op = ""
		c.sum()
	}
	return nil
}

// decide commits if all instances are prepared, else it aborts.
func (c *Coordinator) decide() []Request {
	c.err = c.refusal("cannot take the scripts", Checked)
	if c.err == nil {
		c.err = c.divergence()
	}
	if c.err == nil && c.cancelled != nil {
		c.err = rpc.ErrorOf(c.cancelled)
	}
	ready := func(o *Outcome) bool { return o.State == Checked }
	if c.err == nil && !c.cfg.DryRun {
		return c.ask(OpCommit, ready)
	}
	requests := c.ask(OpAbort, ready)
	if c.err == nil {
		c.result.State = Checked
	}
	return requests
}

// ask makes an operation's requests to the instances that it concerns.
func (c *Coordinator) ask(op Op, concerns func(*Outcome) bool) (all []Request) {
	c.op = op
	for i := range c.result.Instances {
		if o := &c.result.Instances[i]; concerns(o) {
			all = append(all, c.request(o, op))
		}
	}
	return all
}

func (c *Coordinator) request(o *Outcome, op Op) Request {
	c.asked[o.Instance] = op
	s := Step{Op: op, Reload: c.result.Reload}
	switch op {
	case OpPrepare:
		s.Modules, s.Whole = c.cfg.Modules, c.cfg.Whole
	case OpCommit:
		s.Generation = c.generation + 1
	}
	return Request{o.Instance, s}
}

func (c *Coordinator) prepared(o *Outcome, r Reply) {
	if r.Err != nil {
		o.Error = words(r.Err)
		return
	}
	o.State, o.Report, o.origin, o.result = Checked, r.Answer.Report, r.Answer.Origin, r.Answer.Result
	c.generation = max(c.generation, r.Answer.Generation)
}

// committed records an instance's answer to a commit. If the answer leaves the result open, it asks what the instance
// runs.
func (c *Coordinator) committed(o *Outcome, r Reply) []Request {
	switch {
	case r.Err == nil:
		o.State = Committed
	case refused(r.Err):
		o.State, o.Error = Refused, words(r.Err)
	default:
		o.State, o.Error = Unknown, words(r.Err)
		return []Request{c.request(o, OpScripts)}
	}
	return nil
}

// refused reports whether an instance has not committed and never will.
func refused(err error) bool {
	e := rpc.ErrorOf(err)
	return !e.Maybe && (e.Code == rpc.FailedPrecondition || e.Code == rpc.Unavailable || e.Code == rpc.Unimplemented || e.Code == rpc.InvalidArgument)
}

// told records that an instance runs the new scripts after all. If it still runs others, that proves nothing: it may
// commit in the next moment.
func (c *Coordinator) told(o *Outcome, r Reply) {
	if r.Err != nil {
		return
	}
	has := map[string]string{}
	for _, m := range r.Answer.Modules {
		has[m.Name] = m.SHA256
	}
	for _, m := range Pack(c.cfg.Modules, false) {
		if has[m.Name] != m.SHA256 {
			return
		}
		delete(has, m.Name)
	}
	if !c.cfg.Whole || len(has) == 0 {
		o.State = Committed
	}
}

// refusal returns an error if an instance is not in the wanted state.
func (c *Coordinator) refusal(what string, want State) error {
	var bad []string
	for _, o := range c.result.Instances {
		if o.State != want {
			bad = append(bad, o.Instance+": "+o.Error)
		}
	}
	if bad == nil {
		return nil
	}
	who := fmt.Sprintf("%d of the %d instances of %s", len(bad), len(c.result.Instances), c.cfg.Type)
	switch {
	case len(c.result.Instances) == 1:
		who = "the only instance of " + c.cfg.Type
	case len(bad) == len(c.result.Instances):
		who = fmt.Sprintf("all %d instances of %s", len(bad), c.cfg.Type)
	}
	return rpc.Errorf(rpc.FailedPrecondition, "%s %s; nothing has changed: %s", who, what, strings.Join(bad, "; "))
}

// divergence returns an error if instances that came with the same scripts would run different ones. This happens when
// one of them could not follow an earlier reload.
func (c *Coordinator) divergence() error {
	first := map[string]*Outcome{}
	for i := range c.result.Instances {
		o := &c.result.Instances[i]
		one := first[o.origin]
		if one == nil {
			first[o.origin] = o
			continue
		}
		if one.result != o.result {
			return rpc.Errorf(rpc.FailedPrecondition, "%s and %s came with the same scripts and run different ones; nothing has changed: reload all modules of %s",
				one.Instance, o.Instance, c.cfg.Type)
		}
	}
	return nil
}

// sum sets the state of the whole reload after the commits.
func (c *Coordinator) sum() {
	by := map[State][]string{}
	for _, o := range c.result.Instances {
		by[o.State] = append(by[o.State], o.Instance)
	}
	switch len(c.result.Instances) {
	case len(by[Committed]):
		c.result.State = Committed
		return
	case len(by[Refused]):
		c.err = c.refusal("did not commit", Committed)
		return
	}
	c.result.State = Mixed
	var parts []string
	for _, p := range []struct {
		state State
		text  string
	}{{Committed, "with the new scripts"}, {Refused, "with the old ones"}, {Unknown, "unknown"}} {
		if len(by[p.state]) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", strings.Join(by[p.state], ", "), p.text))
		}
	}
	e := rpc.Errorf(rpc.Aborted, "the reload of %s is mixed: %s: reload again", c.cfg.Type, strings.Join(parts, "; "))
	e.Maybe = true
	c.err = e
}

// words returns an error's own text. The rest of an *rpc.Error describes a request, not the reload.
func words(err error) string {
	if e := (*rpc.Error)(nil); errors.As(err, &e) {
		return e.Text
	}
	return err.Error()
}
