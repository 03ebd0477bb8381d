package ecs

import (
	"errors"
	"fmt"
)

// Restore rebuilds the world in a snapshot. It has the same future as the world that was saved: the same checksums, the
// same iteration order, the same entities, forever. The bytes may come from anywhere: Restore returns an error if
// they, or the game, are invalid. The game may have more components and resources than the snapshot, in a different
// order, but must have all of the snapshot's, with the same layout.
func Restore(g Game, snapshot []byte) (*World, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	w, err := restore(g, &reader{b: snapshot})
	if err != nil {
		return nil, fmt.Errorf("ecs: snapshot: %w", err)
	}
	return w, nil
}

// SnapshotConfig reads the game's name, the seed and the options from the start of a snapshot.
func SnapshotConfig(snapshot []byte) (game string, c Config, err error) {
	r := &reader{b: snapshot}
	game, c, _, err = r.head()
	if err != nil {
		return "", Config{}, fmt.Errorf("ecs: snapshot: %w", err)
	}
	return game, c, nil
}

// head reads a snapshot up to its options.
func (r *reader) head() (game string, c Config, checksum uint64, err error) {
	if string(r.take(len(snapshotMagic))) != snapshotMagic {
		return "", c, 0, errors.New("it does not start with WSNP")
	}
	if v := r.byte(); v != snapshotVersion {
		return "", c, 0, fmt.Errorf("version %d, want %d", v, snapshotVersion)
	}
	checksum, c.Seed = r.uint64(), r.uint64()
	game, c.Options = string(r.bytes()), append([]byte(nil), r.bytes()...)
	return game, c, checksum, r.err
}

// GameError is wrapped by an error of Restore for a snapshot of another game, which may itself be valid.
type GameError struct{ Got, Want string }

func (e *GameError) Error() string {
	return fmt.Sprintf("it belongs to game %q, not %q", e.Got, e.Want)
}

// saved is a snapshot while it is being restored.
type saved struct {
	w          *World
	components []*component // by number in the snapshot
	resources  []*resource
	sampled    []*handler
	free       []uint32 // from the top of their stack
	tables     []savedTable
}

type savedTable struct {
	t      *Table
	order  []*component // in the order of the values
	values []byte
}

func restore(g Game, r *reader) (*World, error) {
	name, config, checksum, err := r.head()
	if err != nil {
		return nil, err
	}
	if name != g.Name {
		return nil, &GameError{Got: name, Want: g.Name}
	}
	w, err := New(g, config)
	if err != nil {
		return nil, err
	}
	w.tick = r.uvarint()
	s := &saved{w: w}
	for _, part := range [...]func(*reader) error{s.readTypes, s.readPool, s.readTables, s.load, s.readResources, s.readSessions} {
		if err := part(r); err != nil {
			return nil, err
		}
	}
	if r.end(); r.err != nil {
		return nil, r.err
	}
	if got := w.Checksum(); got != checksum {
		return nil, &ChecksumError{Got: got, Want: checksum}
	}
	w.changes.begin()
	w.sessions.begin()
	return w, nil
}

// readTypes finds the game's types by name.
func (s *saved) readTypes(r *reader) error {
	w := s.w
	for range r.count(2) {
		var c *component
		err := r.name("component", func(name string) *form {
			if i, ok := w.schema.Component(name); ok {
				c = w.components[i]
				return &c.form
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.components = append(s.components, c)
	}
	for range r.count(2) {
		var x *resource
		err := r.name("resource", func(name string) *form {
			if i, ok := w.schema.Resource(name); ok {
				x = w.resources[i]
				return x.form
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.resources = append(s.resources, x)
	}
	for range r.count(2) {
		var h *handler
		err := r.name("sampled command", func(name string) *form {
			if i, ok := w.schema.Command(name); ok && w.handlers[i].f.Sampled {
				h = w.handlers[i]
				return h.f
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.sampled = append(s.sampled, h)
	}
	return s.distinct(r)
}

// name reads the output of appendName and compares it with the game's type.
func (r *reader) name(what string, find func(string) *form) error {
	name, transient, packed, layout := string(r.bytes()), r.byte(), r.uvarint(), r.uint64()
	if r.err != nil {
		return r.err
	}
	f := find(name)
	if f == nil {
		return fmt.Errorf("the game has no %s %q", what, name)
	}
	if uint64(f.Packed) != packed || f.layout() != layout || boolByte(f.Transient) != transient {
		return fmt.Errorf("%s %q has different fields in the game", what, name)
	}
	return nil
}

// distinct refuses a type that appears twice.
func (s *saved) distinct(r *reader) error {
	if r.err != nil {
		return r.err
	}
	var m mask
	for _, c := range s.components {
		if m.has(c.id) {
			return fmt.Errorf("component %q appears twice", c.Name)
		}
		m.set(c.id)
	}
	resources, sampled := make([]bool, len(s.w.resources)), make([]bool, len(s.w.sampled))
	for _, x := range s.resources {
		if resources[x.form.id] {
			return fmt.Errorf("resource %q appears twice", x.form.Name)
		}
		resources[x.form.id] = true
	}
	for _, h := range s.sampled {
		if sampled[h.ordinal] {
			return fmt.Errorf("command %q appears twice", h.f.Name)
		}
		sampled[h.ordinal] = true
	}
	return nil
}

func (s *saved) readResources(r *reader) error {
	for _, x := range s.resources {
		f := x.form
		if f.Transient {
			continue
		}
		b := r.take(f.Packed)
		if r.err != nil {
			return r.err
		}
		s.w.valueSum -= f.hash(Entity{}, x.old)
		f.unpack(x.old, b, 1)
		if !f.proper(x.old) {
			return fmt.Errorf("resource %q holds an invalid bool or text", f.Name)
		}
		s.w.valueSum += f.hash(Entity{}, x.old)
		copy(bytesAt(x.live, f.Size), bytesAt(x.old, f.Size))
	}
	return r.err
}

func (s *saved) readSessions(r *reader) error {
	for range r.count(2) {
		if err := s.w.sessions.read(r, s.sampled); err != nil {
			return err
		}
	}
	s.w.sessions.settle()
	return r.err
}
