package rpc

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Numbers lists everything that must never change about the messages in files, one item per line: ids, field numbers
// and types, enum values. A game's test compares the list with the recorded one.
func Numbers(files ...protoreflect.FileDescriptor) []string {
	var lines numbers
	for _, file := range files {
		lines.messages("", file.Messages())
		lines.enums("", file.Enums())
	}
	return lines
}

type numbers []string

func (n *numbers) add(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

// messages lists messages declared inside outer, which is "" or "Outer.".
func (n *numbers) messages(outer string, all protoreflect.MessageDescriptors) {
	for i := range all.Len() {
		m := all.Get(i)
		name := outer + string(m.Name())
		if id := FrameID(m); id != 0 {
			n.add("%s has id %d", name, id)
		}
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			kind := f.Kind().String()
			switch {
			case f.Message() != nil:
				kind = string(f.Message().Name())
			case f.Enum() != nil:
				kind = string(f.Enum().Name())
			}
			n.add("%s.%s is %d, %s %s", name, f.Name(), f.Number(), f.Cardinality(), kind)
		}
		n.messages(name+".", m.Messages())
		n.enums(name+".", m.Enums())
	}
}

func (n *numbers) enums(outer string, all protoreflect.EnumDescriptors) {
	for i := range all.Len() {
		e := all.Get(i)
		for j := range e.Values().Len() {
			n.add("%s%s.%s is %d", outer, e.Name(), e.Values().Get(j).Name(), e.Values().Get(j).Number())
		}
	}
}
