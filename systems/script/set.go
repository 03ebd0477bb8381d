package script

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Options configures how modules are loaded.
type Options struct {
	Predeclared starlark.StringDict // what modules may use besides Starlark's own; frozen by Load
	Rules       []Rule              // for the functions that the host will call
	StepBudget  uint64              // for loading all modules together; 0: DefaultLoadBudget
	Print       func(module, text string)

	inspect func(f *syntax.File) error // runs once names are resolved
}

// DefaultLoadBudget is the budget for loading if Options does not set one.
const DefaultLoadBudget = 1_000_000

// Rule constrains the functions in a folder whose names begin with a prefix: they take Params, by position, and no two
// modules of the folder define the same function. Example: {"handlers_client/", "Handler_", {"client", "request"}}
type Rule struct {
	Folder string // beginning of the module's name, "" for all
	Prefix string // beginning of the function's name
	Params []string
}

// Function is a function at the top level of a module.
type Function struct {
	Name   string // as the module calls it
	Module string
	Func   *starlark.Function
}

// Place returns where the function is defined.
func (f Function) Place() syntax.Position { return f.Func.Position() }

// Set is a set of compiled modules that have run. It never changes, and is safe for concurrent use.
type Set struct {
	modules []Module
	loaded  map[string]*unit
	prints  map[string]string // of functions, see symbols.go
}

// Modules returns the sources, sorted by name; do not write to them.
func (s *Set) Modules() []Module { return s.modules }

// SHA256 returns a hash over the names and sources of all modules, in hex.
func (s *Set) SHA256() string { return SHA256(s.modules) }

// SHA256 returns a hash over names and sources, in hex, regardless of their order.
func SHA256(modules []Module) string {
	lines := make([]string, len(modules))
	for i, m := range modules {
		lines[i] = m.Name + " " + m.SHA256() + "\n"
	}
	slices.Sort(lines)
	h := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(h[:])
}

// Functions returns the functions whose names begin with prefix in modules whose names begin with folder, sorted by
// name, then by module. folder and prefix may be "".
func (s *Set) Functions(folder, prefix string) []Function {
	var list []Function
	for _, m := range s.modules {
		if !strings.HasPrefix(m.Name, folder) {
			continue
		}
		globals := s.loaded[m.Name].globals
		for _, name := range globals.Keys() {
			if f, ok := globals[name].(*starlark.Function); ok && strings.HasPrefix(name, prefix) {
				list = append(list, Function{name, m.Name, f})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// OnlyFunctions returns an error if a name that begins with prefix, in a module whose name begins with folder, is not that of
// a function: the host would never call it.
func (s *Set) OnlyFunctions(folder, prefix string) error {
	for _, m := range s.modules {
		if !strings.HasPrefix(m.Name, folder) {
			continue
		}
		u := s.loaded[m.Name]
		for _, name := range u.globals.Keys() {
			if _, ok := u.globals[name].(*starlark.Function); !ok && strings.HasPrefix(name, prefix) {
				return errorAt(u.placeOf(name), "%s is %s, want a function: def %s(…)", name, article(u.globals[name].Type()), name)
			}
		}
	}
	return nil
}

// article puts "a" or "an" before a noun.
func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

// placeOf returns where a module first assigns a name of its top level.
func (u *unit) placeOf(name string) syntax.Position {
	for _, b := range u.file.Module.(*resolve.Module).Globals {
		if b.First.Name == name {
			return b.First.NamePos
		}
	}
	return syntax.MakePosition(&u.Name, 1, 1)
}

// check checks the set against a rule.
func (r Rule) check(s *Set) error {
	var last Function
	for _, f := range s.Functions(r.Folder, r.Prefix) {
		if f.Name == last.Name {
			return errorAt(f.Place(), "%s is already defined at %s", f.Name, last.Place())
		}
		last = f
		if !r.fits(f.Func) {
			return errorAt(f.Place(), "%s takes the wrong parameters: want def %s(%s)", f.Name, f.Name, strings.Join(r.Params, ", "))
		}
	}
	return nil
}

// fits reports whether the host can call f with the rule's parameters by position.
func (r Rule) fits(f *starlark.Function) bool {
	given, least, most := len(r.Params), 0, 0
	for i := range f.NumParams() {
		switch {
		case f.HasVarargs() && i == f.NumParams()-1-bit(f.HasKwargs()), f.HasKwargs() && i == f.NumParams()-1:
		case i >= f.NumParams()-bit(f.HasVarargs())-bit(f.HasKwargs())-f.NumKwonlyParams():
			if f.ParamDefault(i) == nil {
				return false // the host would not pass it
			}
		default:
			most++
			if f.ParamDefault(i) == nil {
				least++
			}
		}
	}
	return least <= given && (given <= most || f.HasVarargs())
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Report lists the functions that a Replace changes, such as "handlers_client/player.star:Handler_Login", sorted.
type Report struct {
	Changed []string `json:"changed,omitempty"` // its text (without comments and layout) or something it uses changed
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Empty reports whether no function changed.
func (r Report) Empty() bool { return len(r.Changed)+len(r.Added)+len(r.Removed) == 0 }

// String returns the report in one line.
func (r Report) String() string {
	var parts []string
	for _, p := range []struct {
		what string
		of   []string
	}{{"changed", r.Changed}, {"added", r.Added}, {"removed", r.Removed}} {
		if len(p.of) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", p.what, strings.Join(p.of, ", ")))
		}
	}
	if parts == nil {
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}

// Replace makes a new set in which the given modules replace those of the same names or join the others; a module whose
// Source is nil is removed. s does not change, so the caller can go back to it.
func (s *Set) Replace(modules []Module, o Options) (*Set, Report, error) {
	merged, err := merge(s.modules, modules)
	if err != nil {
		return nil, Report{}, err
	}
	next, err := Load(merged, o)
	if err != nil {
		return nil, Report{}, err
	}
	return next, s.compare(next), nil
}

// compare reports how next differs from s.
func (s *Set) compare(next *Set) (r Report) {
	for _, name := range sortedKeys(next.prints) {
		switch was, ok := s.prints[name]; {
		case !ok:
			r.Added = append(r.Added, name)
		case was != next.prints[name]:
			r.Changed = append(r.Changed, name)
		}
	}
	for _, name := range sortedKeys(s.prints) {
		if _, ok := next.prints[name]; !ok {
			r.Removed = append(r.Removed, name)
		}
	}
	return r
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
