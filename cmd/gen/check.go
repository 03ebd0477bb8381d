package gen

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// check reports invalid ids across all files.
func (s *Schema) check(files []*file) error {
	c := checker{schema: s, ids: map[uint32]protoreflect.MessageDescriptor{}, names: map[string]*message{}}
	for _, f := range files {
		for _, m := range f.messages {
			c.message(m)
		}
	}
	c.misspelledAnswers()
	return c.problems.err()
}

// misspelledAnswers reports messages named almost like the answer of a message that has none: its handlers would have no answer.
func (c *checker) misspelledAnswers() {
	for _, m := range c.schema.handled() {
		base := strings.TrimSuffix(m.name(), "Request")
		if m.answer != nil || base == "" {
			continue
		}
		for _, f := range c.schema.files {
			for _, x := range f.messages {
				if of, ok := strings.CutSuffix(x.name(), "Response"); ok && c.schema.answers[protoreflect.Name(of+"Request")] != nil {
					continue
				}
				if rest, ok := strings.CutPrefix(x.name(), base); ok && !x.handled && ecs.Nearest(rest, []string{"Response"}) != "" {
					c.add(x.desc, "%s is not the answer of %s, which would be %sResponse: rename it, or %s has no answer", x.name(), m.name(), base, m.name())
				}
			}
		}
	}
}

type checker struct {
	schema   *Schema
	problems Problems
	ids      map[uint32]protoreflect.MessageDescriptor // the message that took each id
	names    map[string]*message                       // from the files to generate for, by short names
}

func (c *checker) message(m *message) {
	c.id(m.desc)
	name := m.name()
	sent := strings.HasSuffix(name, "Request") || strings.HasSuffix(name, "Response")
	if sent && m.id == 0 && !m.server && !c.answersServer(m) {
		c.add(m.desc, "%s has no id: it travels between players and the gateway, so give it one with option (wind.id) = N, with an N that no other message ever had", name)
	}
	if !slices.ContainsFunc(c.schema.files, func(f *file) bool { return f.desc == m.desc.ParentFile() }) {
		return
	}
	if other := c.names[name]; other != nil {
		c.add(m.desc, "%s has the same short name as %s (%s): handlers are found by message names without packages, so these must differ", m.desc.FullName(), other.desc.FullName(), c.at(other.desc))
		return
	}
	c.names[name] = m
}

// answersServer reports whether m answers a message of the server.
func (c *checker) answersServer(m *message) bool {
	base, ok := strings.CutSuffix(m.name(), "Response")
	request := c.schema.answers[protoreflect.Name(base+"Request")]
	return ok && request != nil && request.server
}

// id checks the id of a message and of its nested messages.
func (c *checker) id(d protoreflect.MessageDescriptor) {
	id := idOf(d)
	switch other := c.ids[id]; {
	case id == 0:
	case id&wirepb.IDCall != 0:
		c.add(d, "%s has the id %d: ids end below 2^31 (%d)", d.Name(), id, uint32(wirepb.IDCall))
	case wirepb.Reserved(id):
		c.add(d, "%s has the id %d: 2001 to 2199 are Wind's own", d.Name(), id)
	case id == wirepb.IDHeartbeat && d.Name() != "HeartbeatRequest":
		c.add(d, "%s has the id %d, which is HeartbeatRequest's: the gateway handles it, so no handler gets it", d.Name(), id)
	case other != nil:
		c.add(d, "%s has the id %d of %s (%s)", d.Name(), id, other.Name(), c.at(other))
	default:
		c.ids[id] = d
	}
	for i := range d.Messages().Len() {
		if !d.Messages().Get(i).IsMapEntry() {
			c.id(d.Messages().Get(i))
		}
	}
}

func (c *checker) add(d protoreflect.Descriptor, format string, args ...any) {
	path, line, col := c.schema.place(d)
	c.problems.add(Problem{path, line, col, fmt.Sprintf(format, args...)})
}

func (c *checker) at(d protoreflect.Descriptor) string {
	path, line, _ := c.schema.place(d)
	return fmt.Sprintf("%s:%d", path, line)
}

// place returns where a declaration is.
func (s *Schema) place(d protoreflect.Descriptor) (path string, line, col int) {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	return s.compiled.path(d.ParentFile().Path()), at.StartLine + 1, at.StartColumn + 1
}
