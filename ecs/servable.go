package ecs

import (
	"errors"
	"fmt"
)

// Limits on what a node can serve to clients. Setup refuses a game beyond them.
const (
	// MaxReplicated is the largest number of replicated component types in a game.
	MaxReplicated = 64
	// MaxReplicatedResources is the largest number of replicated resources.
	MaxReplicatedResources = 1024
	// MaxSentBytes bounds the size of one replicated component or resource, sent whole, in bytes.
	MaxSentBytes = 64 << 10
	// MaxSentTogether bounds the size of all of them together, in bytes: one entity can have them all.
	MaxSentTogether = 240 << 10
	// MaxClientCommand bounds the packed value of a client's command, in bytes. Services and operators may send larger
	// ones.
	MaxClientCommand = 8 << 10
	// MaxSchemaBytes bounds the schema as JSON, in bytes: every client receives it, and a shard's first record contains
	// it.
	MaxSchemaBytes = 512 << 10
)

// Servable returns an error that names the type and the field if a node could not serve clients of worlds with this
// schema. It returns nil for the schema of every world that New has made.
func (s *Schema) Servable() error {
	spatial := ""
	for i := range s.Components {
		switch c := &s.Components[i]; {
		case !c.Spatial:
		case spatial != "":
			return fmt.Errorf("ecs: component %q is spatial, and so is %q: only one component can place the entities of a game", c.Name, spatial)
		default:
			if _, _, err := c.Place(); err != nil {
				return fmt.Errorf("ecs: component %q %w", c.Name, err)
			}
			spatial = c.Name
		}
	}
	for i := range s.Commands {
		if c := &s.Commands[i]; c.Sampled && c.Packed > MaxClientCommand {
			return fmt.Errorf("ecs: command %q is sampled and has %d bytes, more than the %d that a client can send", c.Name, c.Packed, MaxClientCommand)
		}
	}
	if err := s.sendable(); err != nil {
		return err
	}
	return s.describable()
}

// sendable checks the sizes of replicated types.
func (s *Schema) sendable() error {
	together := 0
	for _, list := range []struct {
		what  string
		most  int
		types []Type
	}{{"component", MaxReplicated, s.Components}, {"resource", MaxReplicatedResources, s.Resources}} {
		count := 0
		for i := range list.types {
			t := &list.types[i]
			if !t.Replicated {
				continue
			}
			if count++; count > list.most {
				return fmt.Errorf("ecs: %s %q is one replicated %s too many: at most %d are allowed", list.what, t.Name, list.what, list.most)
			}
			n, err := t.sentBytes()
			if err != nil {
				return fmt.Errorf("ecs: %s %q: %w", list.what, t.Name, err)
			}
			if n > MaxSentBytes {
				return fmt.Errorf("ecs: %s %q takes up to %d bytes when it is sent, more than %d: hide fields with wind:\"-\", or split it", list.what, t.Name, n, MaxSentBytes)
			}
			if together += n; together > MaxSentTogether {
				return fmt.Errorf("ecs: %s %q: all replicated types together take up to %d bytes when they are sent, more than %d", list.what, t.Name, together, MaxSentTogether)
			}
		}
	}
	return nil
}

// sentBytes returns the largest size of a value sent whole, in bytes.
func (t *Type) sentBytes() (int, error) {
	bits := 0
	for i := range t.Fields {
		f := &t.Fields[i]
		tag, err := f.Sending()
		if err != nil {
			return 0, fmt.Errorf("field %s: %w", f.Path, err)
		}
		if !tag.Hidden {
			bits += f.Count * (tag.MaxBits(f) + 1)
		}
	}
	return (bits + 7) / 8, nil
}

// describable checks that the schema itself fits into what carries it.
func (s *Schema) describable() error {
	fields, what, largest := 0, "", &Type{}
	for _, list := range []struct {
		what  string
		types []Type
	}{{"component", s.Components}, {"resource", s.Resources}, {"event", s.Events}, {"command", s.Commands}, {"message", s.Outgoing}} {
		for i := range list.types {
			t := &list.types[i]
			if fields += 2 + len(t.Fields); len(t.Fields) >= len(largest.Fields) {
				what, largest = list.what, t
			}
		}
	}
	const mayBe = 256 // upper bound on a field's JSON in bytes, unless its path and tag are very long
	if fields*mayBe < MaxSchemaBytes {
		return nil
	}
	if n := len(s.JSON()); n > MaxSchemaBytes {
		return fmt.Errorf("ecs: the schema has %d bytes, more than %d; most of it is the %d fields of %s %q: an array of numbers is one field, an array of structs one for each field of each element",
			n, MaxSchemaBytes, len(largest.Fields), what, largest.Name)
	}
	return nil
}

// Place returns the fields X and Y of a spatial component.
func (t *Type) Place() (x, y *Field, err error) {
	for i := range t.Fields {
		switch f := &t.Fields[i]; {
		case f.Count != 1 || f.Array || f.Kind != KindF64 && f.Kind != KindF32:
		case f.Path == "X":
			x = f
		case f.Path == "Y":
			y = f
		}
	}
	switch {
	case x == nil || y == nil:
		return nil, nil, errors.New("is spatial but has no fields X and Y of type float64 or float32")
	case x.Kind != y.Kind:
		return nil, nil, fmt.Errorf("is spatial, but its X is a %s and its Y a %s", x.Kind, y.Kind)
	}
	return x, y, nil
}
