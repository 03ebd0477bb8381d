package gen

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ferris1/wind/netcode/wirepb"
)

// Schema is the parsed and checked input. Generate is safe for concurrent use.
type Schema struct {
	files    []*file
	compiled *compiled
	answers  map[protoreflect.Name]*message // by short names, including those of imports
}

// file is a .proto file to generate code for.
type file struct {
	desc     protoreflect.FileDescriptor
	base     string     // file name without .proto
	messages []*message // at the top level, in order
}

// message is a message at the top level of a file.
type message struct {
	desc    protoreflect.MessageDescriptor
	id      uint32 // 0: no id
	doc     []string
	server  bool
	handled bool
	answer  *message // nil: no answer
}

func (m *message) name() string { return string(m.desc.Name()) }

// call returns the message's name without Request, which names the method that calls it.
func (m *message) call() string {
	if name := strings.TrimSuffix(m.name(), "Request"); name != "" {
		return name
	}
	return m.name()
}

// Load reads and checks .proto files. It returns what is wrong with them as a *Problems.
func Load(ctx context.Context, source Source) (*Schema, error) {
	c, err := compile(ctx, source)
	if err != nil {
		return nil, err
	}
	s := &Schema{compiled: c, answers: map[protoreflect.Name]*message{}}
	known := map[string]bool{}
	for _, d := range c.files {
		s.files = append(s.files, readFile(d, source.Server))
	}
	for _, f := range s.everyFile(source.Server) {
		for _, m := range f.messages {
			known[m.name()] = true
			if s.answers[m.desc.Name()] == nil || slices.Contains(s.files, f) {
				s.answers[m.desc.Name()] = m
			}
		}
	}
	for _, name := range source.Server {
		if !known[name] {
			return nil, fmt.Errorf("gen: no message is named %q, so it cannot be the server's", name)
		}
	}
	for _, m := range s.handled() {
		m.answer = s.answers[protoreflect.Name(strings.TrimSuffix(m.name(), "Request")+"Response")]
	}
	return s, s.check(s.everyFile(source.Server))
}

// Files returns the requested files as descriptors of the Protobuf runtime. Options compiled into this program, such as
// (wind.id), can be read from them.
func (s *Schema) Files() ([]protoreflect.FileDescriptor, error) {
	known := &descriptorpb.FileDescriptorSet{} // the same files, with the options parsed by the runtime
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: s.protos()})
	if err == nil {
		err = proto.Unmarshal(raw, known)
	}
	var registry *protoregistry.Files
	if err == nil {
		registry, err = protodesc.NewFiles(known)
	}
	if err != nil {
		return nil, fmt.Errorf("gen: %w", err)
	}
	files := make([]protoreflect.FileDescriptor, len(s.files))
	for k, f := range s.files {
		if files[k], err = registry.FindFileByPath(f.desc.Path()); err != nil {
			return nil, fmt.Errorf("gen: %w", err)
		}
	}
	return files, nil
}

// protos returns the files and their imports, each after its own imports.
func (s *Schema) protos() (all []*descriptorpb.FileDescriptorProto) {
	seen := map[string]bool{}
	var add func(d protoreflect.FileDescriptor)
	add = func(d protoreflect.FileDescriptor) {
		if seen[d.Path()] {
			return
		}
		seen[d.Path()] = true
		for i := range d.Imports().Len() {
			add(d.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protodesc.ToFileDescriptorProto(d))
	}
	for _, f := range s.files {
		add(f.desc)
	}
	return all
}

// readFile collects the messages of a file.
func readFile(d protoreflect.FileDescriptor, server []string) *file {
	f := &file{desc: d, base: strings.TrimSuffix(path.Base(d.Path()), ".proto")}
	ofServer := strings.Contains(strings.ToLower(d.Path()), "server")
	for i := range d.Messages().Len() {
		m := &message{desc: d.Messages().Get(i)}
		m.id = idOf(m.desc)
		m.doc = commentOf(m.desc)
		between := strings.HasPrefix(m.name(), "S_")
		m.server = ofServer || between || slices.Contains(server, m.name())
		switch {
		case m.id == wirepb.IDHeartbeat:
		case strings.HasSuffix(m.name(), "Request"):
			m.handled = true
		case between:
			m.handled = !strings.HasSuffix(m.name(), "Response") && !strings.HasSuffix(m.name(), "Ack")
		}
		f.messages = append(f.messages, m)
	}
	return f
}

// everyFile returns the files and those of their imports that were read from a folder, each once.
func (s *Schema) everyFile(server []string) []*file {
	all := slices.Clone(s.files)
	seen := map[string]bool{}
	for _, f := range s.files {
		seen[f.desc.Path()] = true
	}
	var walk func(d protoreflect.FileDescriptor)
	walk = func(d protoreflect.FileDescriptor) {
		for i := range d.Imports().Len() {
			in := d.Imports().Get(i).FileDescriptor
			if _, read := s.compiled.paths[in.Path()]; read && !seen[in.Path()] {
				seen[in.Path()] = true
				all = append(all, readFile(in, server))
				walk(in)
			}
		}
	}
	for _, f := range s.files {
		walk(f.desc)
	}
	return all
}

// handled lists the messages that have a handler.
func (s *Schema) handled() (all []*message) {
	for _, f := range s.files {
		all = append(all, f.handled(true)...)
		all = append(all, f.handled(false)...)
	}
	return all
}

// handled lists the file's messages that have a handler, either the server's or the client's.
func (f *file) handled(server bool) (some []*message) {
	for _, m := range f.messages {
		if m.handled && m.server == server {
			some = append(some, m)
		}
	}
	return some
}

// idOf reads the option (wind.id), which the compiler may represent in any form that Protobuf allows.
func idOf(d protoreflect.MessageDescriptor) uint32 {
	raw, err := proto.Marshal(d.Options())
	if err != nil {
		return 0
	}
	options := &descriptorpb.MessageOptions{}
	if err := proto.Unmarshal(raw, options); err != nil {
		return 0
	}
	id, _ := proto.GetExtension(options, wirepb.E_Id).(uint32)
	return id
}

// commentOf returns the comment above a declaration, line by line.
func commentOf(d protoreflect.Descriptor) []string {
	return lines(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
}

// lines splits a comment, and removes characters that cannot be in a line of code.
func lines(comment string) (all []string) {
	for _, line := range strings.Split(strings.Trim(comment, "\n"), "\n") {
		line = strings.Map(func(r rune) rune {
			if r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
				return -1
			}
			return r
		}, line)
		all = append(all, strings.TrimRight(strings.TrimPrefix(line, " "), " \t"))
	}
	if len(all) == 1 && all[0] == "" {
		return nil
	}
	return all
}
