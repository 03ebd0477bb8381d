package ecs

import (
	"fmt"
	"slices"
	"strings"
)

// ChangeKind is how a type or a field differs between two schemas.
type ChangeKind string

// The kinds of changes.
const (
	ChangeAdded   ChangeKind = "added"
	ChangeRemoved ChangeKind = "removed"
	ChangeRenamed ChangeKind = "renamed"
	ChangeRetyped ChangeKind = "retyped" // a field holds another kind of value
	ChangeMoved   ChangeKind = "moved"   // its position among the others differs
	ChangeFlag    ChangeKind = "flag"    // transient or sampled in only one of the two
)

// Breaks is the set of recorded data that a schema change makes unreadable.
type Breaks uint8

// What a change can break. A harmless change, such as a new component, breaks nothing.
const (
	BreaksState  Breaks = 1 << iota // a snapshot cannot be restored
	BreaksDeltas                    // recorded deltas cannot be applied
	BreaksTicks                     // recorded ticks cannot be simulated again: their commands or messages differ
	breaksAll    = BreaksState | BreaksDeltas | BreaksTicks
)

// SchemaChange is one difference between a recorded schema and a game's.
type SchemaChange struct {
	What   string     `json:"what"`            // component, resource, event, command or message
	Type   string     `json:"type"`            // its recorded name, or the new name of an added type
	Field  string     `json:"field,omitempty"` // its recorded path; empty if the type as a whole differs
	Kind   ChangeKind `json:"kind"`
	Was    string     `json:"was,omitempty"` // as recorded: a name or the kind of a field's values
	Is     string     `json:"is,omitempty"`  // as in the game
	Breaks Breaks     `json:"-"`
}

// String names the type and the field and describes the change: component position.Z (f64) was added.
func (c SchemaChange) String() string {
	of := c.What + " " + c.Type
	if c.Field != "" {
		of += "." + c.Field
	}
	switch c.Kind {
	case ChangeAdded:
		if c.Is != "" {
			return fmt.Sprintf("%s (%s) was added", of, c.Is)
		}
		return of + " was added"
	case ChangeRemoved:
		if c.Was != "" {
			return fmt.Sprintf("%s (%s) was removed", of, c.Was)
		}
		return of + " was removed"
	case ChangeRenamed:
		return fmt.Sprintf("%s is now %s", of, c.Is)
	case ChangeRetyped:
		return fmt.Sprintf("%s was %s, is now %s", of, c.Was, c.Is)
	case ChangeMoved:
		return fmt.Sprintf("%s moved %s", of, c.Is)
	}
	return fmt.Sprintf("%s was %s, is now %s", of, c.Was, c.Is)
}

// SchemaDiff returns the differences of game from recorded, type by type: components, resources, events, commands,
// messages. It is empty if each schema can read the other's data and neither has a type that the other lacks. It ignores how clients
// see a field. It depends only on its arguments.
func SchemaDiff(recorded, game *Schema) []SchemaChange {
	var d []SchemaChange
	d = append(d, diffTypes("component", recorded.Components, game.Components)...)
	d = append(d, diffTypes("resource", recorded.Resources, game.Resources)...)
	d = append(d, diffTypes("event", recorded.Events, game.Events)...)
	d = append(d, diffTypes("command", recorded.Commands, game.Commands)...)
	return append(d, diffTypes("message", recorded.Outgoing, game.Outgoing)...)
}

// Broken returns the union of what the changes break.
func Broken(changes []SchemaChange) (b Breaks) {
	for i := range changes {
		b |= changes[i].Breaks
	}
	return b
}

// numbered returns what breaks if a type of this sort changes its index, 0 if recorded data does not refer to it by
// index.
func numbered(what string) Breaks {
	switch what {
	case "component", "resource":
		return BreaksDeltas
	case "command":
		return BreaksTicks
	}
	return 0
}

// contents returns what breaks if such a type is gone or its fields differ.
func contents(what string, t *Type) Breaks {
	switch {
	case what == "component" || what == "resource" || t.Sampled: // each session's last sample is state
		return breaksAll
	case what == "command" || what == "message":
		return BreaksTicks
	}
	return 0 // events are not recorded
}

// diffTypes compares two lists of the same kind.
func diffTypes(what string, recorded, game []Type) (d []SchemaChange) {
	became := heirs(recorded, game)
	added := make([]bool, len(game))
	for i := range added {
		added[i] = !slices.Contains(became, i)
	}
	for i := range recorded {
		was := &recorded[i]
		if became[i] < 0 {
			d = append(d, SchemaChange{What: what, Type: was.Name, Kind: ChangeRemoved, Breaks: contents(what, was) | numbered(what)})
			continue
		}
		is := &game[became[i]]
		if was.Name != is.Name {
			d = append(d, SchemaChange{What: what, Type: was.Name, Kind: ChangeRenamed, Is: is.Name, Breaks: contents(what, was)})
			continue
		}
		d = append(d, diffType(what, was, is)...)
	}
	for i := range game {
		if added[i] {
			d = append(d, addition(what, game, i, became))
		}
	}
	return append(d, displaced(what, recorded, game, became)...)
}

// addition returns the change that a new type makes. A type added after all recorded ones moves none of them.
func addition(what string, game []Type, i int, became []int) SchemaChange {
	c := SchemaChange{What: what, Type: game[i].Name, Kind: ChangeAdded}
	for k := i + 1; k < len(game); k++ {
		if slices.Contains(became, k) {
			c.Breaks, c.Is = numbered(what), "in front of "+game[k].Name
			break
		}
	}
	if what == "command" && game[i].Sampled { // a frame has a section for each
		c.Breaks |= BreaksTicks
		if c.Is != "" {
			c.Breaks |= BreaksDeltas // the sessions' samples are numbered
		}
	}
	return c
}

// displaced returns the first type that changed places with another one.
func displaced(what string, recorded, game []Type, became []int) []SchemaChange {
	last := -1
	for i, to := range became {
		if to < 0 {
			continue
		}
		if to < last {
			c := SchemaChange{What: what, Type: recorded[i].Name, Kind: ChangeMoved, Is: "in front of " + game[last].Name, Breaks: numbered(what)}
			if recorded[i].Sampled || game[last].Sampled {
				c.Breaks |= BreaksDeltas
			}
			return []SchemaChange{c}
		}
		last = to
	}
	return nil
}

// heirs maps each recorded type to its successor in the game: the type of the same name, else an unrecorded one with
// the same fields. -1 means that it is gone.
func heirs(recorded, game []Type) []int {
	became := make([]int, len(recorded))
	for i := range recorded {
		became[i] = -1
		if k, ok := find(game, recorded[i].Name); ok {
			became[i] = k
		}
	}
	for i := range recorded {
		if became[i] >= 0 {
			continue
		}
		for k := range game {
			if _, known := find(recorded, game[k].Name); known || slices.Contains(became, k) {
				continue
			}
			// All types without fields are alike, so only the index identifies one.
			if alike(&recorded[i], &game[k]) && (len(game[k].Fields) > 0 || k == i) {
				became[i] = k
				break
			}
		}
	}
	return became
}

// alike reports whether two types have the same contents.
func alike(a, b *Type) bool {
	return a.Transient == b.Transient && a.Sampled == b.Sampled && len(diffFields("", a, b, 0)) == 0
}

// diffType compares two types of the same name.
func diffType(what string, was, is *Type) []SchemaChange {
	d := diffFields(what, was, is, contents(what, was))
	flag := func(name string, before, now bool, breaks Breaks) {
		if before == now {
			return
		}
		c := SchemaChange{What: what, Type: was.Name, Kind: ChangeFlag, Was: name, Is: "not " + name, Breaks: breaks}
		if now {
			c.Was, c.Is = c.Is, c.Was
		}
		d = append(d, c)
	}
	flag("transient", was.Transient, is.Transient, contents(what, was))
	flag("sampled", was.Sampled, is.Sampled, contents(what, was)|BreaksTicks|BreaksDeltas)
	return d
}

// diffFields compares the fields of two types of the same name.
func diffFields(what string, was, is *Type, breaks Breaks) (d []SchemaChange) {
	say := func(field string, kind ChangeKind, before, now string) {
		d = append(d, SchemaChange{What: what, Type: was.Name, Field: field, Kind: kind, Was: before, Is: now, Breaks: breaks})
	}
	renamed := map[string]bool{} // the game's fields that are renamed recorded ones
	last := -1
	for i := range was.Fields {
		f := &was.Fields[i]
		k := field(is, f.Path)
		switch {
		case k < 0 && i < len(is.Fields) && field(was, is.Fields[i].Path) < 0 && is.Fields[i].holds() == f.holds():
			renamed[is.Fields[i].Path] = true
			k = i
			say(f.Path, ChangeRenamed, f.Path, is.Fields[i].Path)
			d[len(d)-1].Breaks &= BreaksState // the bytes are the same, but a snapshot names its fields
		case k < 0:
			say(f.Path, ChangeRemoved, f.holds(), "")
		case is.Fields[k].holds() != f.holds():
			say(f.Path, ChangeRetyped, f.holds(), is.Fields[k].holds())
		case k < last:
			say(f.Path, ChangeMoved, "", "in front of "+is.Fields[last].Path)
		}
		last = max(last, k)
	}
	for i := range is.Fields {
		if f := &is.Fields[i]; field(was, f.Path) < 0 && !renamed[f.Path] {
			say(f.Path, ChangeAdded, "", f.holds())
		}
	}
	return d
}

// field returns a field's index by its path, -1 if it does not exist.
func field(t *Type, path string) int {
	return slices.IndexFunc(t.Fields, func(f Field) bool { return f.Path == path })
}

// holds describes a field's values: f64, i32[4], text of 15 bytes.
func (f *Field) holds() string {
	s := f.Kind.String()
	if f.Kind == KindText {
		s = fmt.Sprintf("text of %d bytes", f.Width-1)
	}
	if f.Array || f.Count != 1 {
		s += fmt.Sprintf("[%d]", f.Count)
	}
	return s
}

// DescribeChanges describes at most n of the changes in one line.
func DescribeChanges(changes []SchemaChange, n int) string {
	var s []string
	for i := range changes {
		if i == n {
			s = append(s, fmt.Sprintf("and %d more", len(changes)-n))
			break
		}
		s = append(s, changes[i].String())
	}
	return strings.Join(s, "; ")
}
