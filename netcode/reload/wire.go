package reload

import (
	"encoding/json"
	"slices"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Op is an operation of a reload at an instance's admin endpoint.
type Op string

// The operations.
const (
	OpPrepare Op = "prepare" // compile the modules, try them, and keep the result ready
	OpCommit  Op = "commit"  // put in force what was prepared
	OpAbort   Op = "abort"   // discard what was prepared
	OpScripts Op = "scripts" // report what is in force
)

// Ops lists the operations.
var Ops = []Op{OpPrepare, OpCommit, OpAbort, OpScripts}

// Step is the content of an operation.
type Step struct {
	Op         Op
	Reload     string          // the reload's id
	Generation uint64          // for commit: above all those in the answers to prepare
	Modules    []script.Module // for prepare, as for script.Set.Replace: a module without a source is removed
	Whole      bool            // for prepare: remove other modules in force
}

// Answer is an instance's answer.
type Answer struct {
	Report     *script.Report `json:"report,omitempty"`  // to prepare: what would change
	Generation uint64         `json:"generation"`        // newest that the instance knows
	Origin     string         `json:"origin,omitempty"`  // to prepare: hash of the scripts that the instance came with
	Result     string         `json:"result,omitempty"`  // to prepare: hash of what it would run
	Modules    []Module       `json:"modules,omitempty"` // to scripts: what is in force, without sources
}

// Module is a script in transit. A module without a source is to be removed.
type Module struct {
	Name   string  `json:"name"`
	Source *string `json:"source,omitempty"`
	SHA256 string  `json:"sha256,omitempty"` // of the source, in hex
}

// stepJSON is a Step without its operation, which is sent beside it.
type stepJSON struct {
	Reload     string   `json:"reload"`
	Generation uint64   `json:"generation,omitempty"`
	Modules    []Module `json:"modules,omitempty"`
	Whole      bool     `json:"whole,omitempty"`
}

// Body encodes the step as the body of its operation.
func (s *Step) Body() ([]byte, error) {
	return json.Marshal(stepJSON{s.Reload, s.Generation, Pack(s.Modules, true), s.Whole})
}

// ParseStep decodes the body of an operation.
func ParseStep(op Op, body []byte) (Step, error) {
	var p stepJSON
	if err := json.Unmarshal(body, &p); err != nil {
		return Step{}, rpc.Errorf(rpc.InvalidArgument, "the body of %s is not a reload in JSON: %v", op, err)
	}
	if p.Reload == "" && op != OpScripts {
		return Step{}, rpc.Errorf(rpc.InvalidArgument, `%s needs the reload's id in "reload"`, op)
	}
	modules, err := Unpack(p.Modules)
	return Step{Op: op, Reload: p.Reload, Generation: p.Generation, Modules: modules, Whole: p.Whole}, err
}

// replacing returns the step's modules for script.Set.Replace on top of now.
func (s *Step) replacing(now []script.Module) []script.Module {
	if s.Whole {
		return InPlaceOf(now, s.Modules)
	}
	return s.Modules
}

// InPlaceOf returns modules for script.Set.Replace, plus a removal of every other module of now.
func InPlaceOf(now, modules []script.Module) []script.Module {
	modules = slices.Clip(modules)
	for _, m := range now {
		if !slices.ContainsFunc(modules, func(x script.Module) bool { return x.Name == m.Name }) {
			modules = append(modules, script.Module{Name: m.Name})
		}
	}
	return modules
}

// merged returns what runs after changes have replaced modules of now.
func merged(now, changes []script.Module) (all []script.Module) {
	for _, m := range now {
		if !slices.ContainsFunc(changes, func(x script.Module) bool { return x.Name == m.Name }) {
			all = append(all, m)
		}
	}
	for _, m := range changes {
		if m.Source != nil {
			all = append(all, m)
		}
	}
	return all
}

// Pack packs modules for transport; withSource is false in a list of what is in force.
func Pack(modules []script.Module, withSource bool) []Module {
	list := make([]Module, len(modules))
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

// Unpack is the inverse of Pack. It returns an error if a source does not match its hash.
func Unpack(list []Module) (modules []script.Module, err error) {
	for _, j := range list {
		m := script.Module{Name: j.Name}
		if j.Source != nil {
			m.Source = append([]byte{}, *j.Source...)
			if j.SHA256 != "" && m.SHA256() != j.SHA256 {
				return nil, rpc.Errorf(rpc.InvalidArgument, "module %.80q has the hash %s, not %.64q: it was damaged in transit", j.Name, m.SHA256(), j.SHA256)
			}
		}
		modules = append(modules, m)
	}
	return modules, nil
}
