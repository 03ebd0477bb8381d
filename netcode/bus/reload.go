package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// How long an instance may take for a step of a reload.
const (
	prepareTimeout = 30 * time.Second
	commitTimeout  = 10 * time.Second
)

// ReloadConfig says what comes into force where.
type ReloadConfig struct {
	Type      string
	Instances []string        // all that serve the type, as discovery has them
	Modules   []script.Module // as script.Set.Replace takes them: without a source the module goes
	Whole     bool            // others that an instance has in force go
	DryRun    bool            // prepare everywhere and change nothing
}

// ReloadState says what an instance runs after a reload, or all of them.
type ReloadState string

// The states. A reload is Committed, Checked (a dry run that all could), Refused (nothing changed anywhere) or Mixed (some
// run the new scripts, some do not or do not say); an instance is anything but Mixed.
const (
	Committed ReloadState = "committed"
	Checked   ReloadState = "checked"
	Refused   ReloadState = "refused"
	Unknown   ReloadState = "unknown"
	Mixed     ReloadState = "mixed"
)

// ReloadResult is what became of a reload.
type ReloadResult struct {
	Reload    string           `json:"reload"` // its id
	State     ReloadState      `json:"state"`
	Instances []ReloadInstance `json:"instances"` // as in the config
}

// ReloadInstance is what became of a reload in one instance.
type ReloadInstance struct {
	Instance string          `json:"instance"`
	State    ReloadState     `json:"state"`
	Report   json.RawMessage `json:"report,omitempty"` // script.Report, from its dry run
	Error    string          `json:"error,omitempty"`  // with file and line where a script is to blame
}

// ModuleJSON is a module in the body of an admin operation. Without a source it goes.
type ModuleJSON struct {
	Name   string  `json:"name"`
	Source *string `json:"source,omitempty"`
	SHA256 string  `json:"sha256,omitempty"` // of the source, in hex
}

// stepJSON is the body of an operation of a reload; ReloadStep says which member is whose.
type stepJSON struct {
	Reload     string       `json:"reload"`
	Generation uint64       `json:"generation,omitempty"`
	Modules    []ModuleJSON `json:"modules,omitempty"`
	Whole      bool         `json:"whole,omitempty"`
}

// ReloadStep is what an operation of a reload says: prepare, commit or abort.
type ReloadStep struct {
	Reload string // its id
	// Generation is commit's: one more than the newest that an instance knew of. Each of them has told its own in the answer
	// to prepare, as "generation". Of two reloads the one with the higher generation came later.
	Generation uint64
	Modules    []script.Module // prepare's
	Whole      bool            // prepare's: see ReloadConfig
}

// Replacing is the modules as script.Set.Replace takes them, where now is in force.
func (s *ReloadStep) Replacing(now []script.Module) []script.Module {
	if s.Whole {
		return InPlaceOf(now, s.Modules)
	}
	return s.Modules
}

// InPlaceOf is modules as script.Set.Replace takes them when nothing else of now is to stay.
func InPlaceOf(now, modules []script.Module) []script.Module {
	modules = slices.Clip(modules)
	for _, m := range now {
		if !slices.ContainsFunc(modules, func(x script.Module) bool { return x.Name == m.Name }) {
			modules = append(modules, script.Module{Name: m.Name})
		}
	}
	return modules
}

// ModulesJSON makes modules ready for a body; withSource is false in a list of what is in force.
func ModulesJSON(modules []script.Module, withSource bool) []ModuleJSON {
	list := make([]ModuleJSON, len(modules))
	for i, m := range modules {
		list[i].Name = m.Name
		if m.Source == nil {
			continue
		}
		list[i].SHA256 = m.SHA256()
		if withSource {
			s := string(m.Source)
			list[i].Source = &s
		}
	}
	return list
}

// ParseReload reads the body of prepare, commit or abort, for the Admin function of a service.
func ParseReload(body []byte) (s ReloadStep, err error) {
	var p stepJSON
	if err := json.Unmarshal(body, &p); err != nil {
		return s, rpc.Errorf(rpc.InvalidArgument, "a reload that is no JSON: %v", err)
	}
	if p.Reload == "" {
		return s, rpc.Errorf(rpc.InvalidArgument, `a reload without its id in "reload"`)
	}
	s.Reload, s.Generation, s.Whole = p.Reload, p.Generation, p.Whole
	s.Modules, err = ParseModules(p.Modules)
	return s, err
}

// ParseModules is the inverse of ModulesJSON. A source whose hash is another is an error: it was damaged on its way.
func ParseModules(list []ModuleJSON) (modules []script.Module, err error) {
	for _, j := range list {
		m := script.Module{Name: j.Name}
		if j.Source != nil {
			m.Source = append([]byte{}, *j.Source...)
			if j.SHA256 != "" && m.SHA256() != j.SHA256 {
				return nil, rpc.Errorf(rpc.InvalidArgument, "module %s has the hash %s, not %s", clip(j.Name), m.SHA256(), clip(j.SHA256))
			}
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// Reload has every instance prepare the modules, at once, and only when all of them are ready commit them; else all of them
// drop what they prepared. The error names the instance that could not, with its words. When a commit fails the instance
// is asked what it runs: a result that is Mixed is an error and a line in the log, and reloading again is the way out.
func (b *Bus) Reload(ctx context.Context, c ReloadConfig) (ReloadResult, error) {
	r := &reload{bus: b, cfg: c, result: ReloadResult{Reload: uuid.NewString(), State: Refused}}
	if len(c.Instances) == 0 {
		return r.result, rpc.Errorf(rpc.Unavailable, "no instance of %s is up", c.Type)
	}
	for _, id := range c.Instances {
		r.result.Instances = append(r.result.Instances, ReloadInstance{Instance: id, State: Refused})
	}
	r.each(func(i *ReloadInstance) { r.prepare(ctx, i) })
	err := r.verdict("cannot take the scripts", Checked)
	if err == nil && ctx.Err() != nil {
		err = rpc.ErrorOf(ctx.Err())
	}
	// From here on it goes to its end: half a commit is what nobody wants.
	ctx = context.WithoutCancel(ctx)
	if err != nil || c.DryRun {
		r.each(func(i *ReloadInstance) { r.abort(ctx, i) })
		if err == nil {
			r.result.State = Checked
		}
		return r.result, err
	}
	r.each(func(i *ReloadInstance) { r.commit(ctx, i) })
	return r.result, r.committed()
}

// reload is one that runs.
type reload struct {
	bus    *Bus
	cfg    ReloadConfig
	result ReloadResult

	mu         sync.Mutex
	generation uint64 // the newest that an instance told of
}

// each does something with all instances at once and waits for it.
func (r *reload) each(do func(*ReloadInstance)) {
	var group sync.WaitGroup
	for i := range r.result.Instances {
		group.Go(func() { do(&r.result.Instances[i]) })
	}
	group.Wait()
}

// op does one operation of the reload in one instance.
func (r *reload) op(ctx context.Context, i *ReloadInstance, op string, s stepJSON, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.Reload = r.result.Reload
	body, err := json.Marshal(s)
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	return r.bus.Admin(ctx, r.cfg.Type, i.Instance, op, body)
}

func (r *reload) prepare(ctx context.Context, i *ReloadInstance) {
	answer, err := r.op(ctx, i, "prepare", stepJSON{Modules: ModulesJSON(r.cfg.Modules, true), Whole: r.cfg.Whole}, prepareTimeout)
	var a struct {
		Report     json.RawMessage `json:"report"`
		Generation uint64          `json:"generation"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &a)
	}
	if err != nil {
		i.Error = words(err)
		return
	}
	i.State, i.Report = Checked, a.Report
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation = max(r.generation, a.Generation)
}

// abort drops what an instance has prepared. One that did not answer drops it by itself after a while.
func (r *reload) abort(ctx context.Context, i *ReloadInstance) {
	if i.State != Checked {
		return
	}
	if _, err := r.op(ctx, i, "abort", stepJSON{}, commitTimeout); err != nil {
		r.bus.log.Debug("an instance did not drop a reload", "instance", i.Instance, "reload", r.result.Reload, "error", err)
	}
}

func (r *reload) commit(ctx context.Context, i *ReloadInstance) {
	_, err := r.op(ctx, i, "commit", stepJSON{Generation: r.generation + 1}, commitTimeout)
	if err == nil {
		i.State = Committed
		return
	}
	i.Error, i.State = words(err), r.inForce(ctx, i)
}

// inForce asks an instance what it runs.
func (r *reload) inForce(ctx context.Context, i *ReloadInstance) ReloadState {
	answer, err := r.op(ctx, i, "scripts", stepJSON{}, commitTimeout)
	var a struct {
		Modules []ModuleJSON `json:"modules"`
	}
	if err != nil || json.Unmarshal(answer, &a) != nil {
		return Unknown
	}
	has := map[string]string{}
	for _, m := range a.Modules {
		has[m.Name] = m.SHA256
	}
	for _, m := range ModulesJSON(r.cfg.Modules, false) {
		if has[m.Name] != m.SHA256 {
			return Refused
		}
		delete(has, m.Name)
	}
	if r.cfg.Whole && len(has) > 0 {
		return Refused
	}
	return Committed
}

// verdict is an error when an instance is not in the wanted state.
func (r *reload) verdict(what string, want ReloadState) error {
	var bad []string
	for _, i := range r.result.Instances {
		if i.State != want {
			bad = append(bad, i.Instance+": "+i.Error)
		}
	}
	if bad == nil {
		return nil
	}
	return rpc.Errorf(rpc.FailedPrecondition, "%d of %d instances of %s %s, nothing is changed: %s",
		len(bad), len(r.result.Instances), r.cfg.Type, what, strings.Join(bad, "; "))
}

// committed sets the state of the whole after the commits.
func (r *reload) committed() error {
	by := map[ReloadState][]string{}
	for _, i := range r.result.Instances {
		by[i.State] = append(by[i.State], i.Instance)
	}
	switch len(r.result.Instances) {
	case len(by[Committed]):
		r.result.State = Committed
		return nil
	case len(by[Refused]):
		return r.verdict("did not commit", Committed)
	}
	r.result.State = Mixed
	parts := []string{}
	for _, p := range []struct {
		state ReloadState
		text  string
	}{{Committed, "run the new scripts"}, {Refused, "run the old ones"}, {Unknown, "do not say"}} {
		if len(by[p.state]) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", strings.Join(by[p.state], ", "), p.text))
		}
	}
	text := strings.Join(parts, "; ")
	r.bus.log.Error("a reload is mixed: reload again", "type", r.cfg.Type, "reload", r.result.Reload, "what", text)
	e := rpc.Errorf(rpc.Aborted, "the reload of %s is mixed: %s: reload again", r.cfg.Type, text)
	e.Maybe = true
	return e
}

// words are an error's own: what else it says is about a request, not about the reload.
func words(err error) string {
	if e := (*rpc.Error)(nil); errors.As(err, &e) {
		return e.Text
	}
	return err.Error()
}
