package ecs

import (
	"errors"
	"fmt"
)

var (
	errMode    = errors.New("unknown mode")
	errInput   = errors.New("an input has an unknown encoding")
	errNoInput = errors.New("an input repeats a value that its session never had")
	errCommand = errors.New("a command has an unknown encoding")
)

// DecodeFrame decodes the output of AppendFrame, on a world at the tick before the frame's. It fills f and reuses its
// memory. Payloads point into b and the world, and are valid until the next DecodeFrame, Step or Apply. The bytes may
// come from anywhere. A decoded frame may still contain invalid commands: see Validate.
func (w *World) DecodeFrame(b []byte, f *Frame) error {
	r := reader{b: b}
	f.Tick, f.Commands = r.uvarint(), f.Commands[:0]
	w.recording.values = w.recording.values[:0]
	if r.err == nil && f.Tick != w.tick+1 {
		return fmt.Errorf("ecs: frame of tick %d on a world at tick %d", f.Tick, w.tick)
	}
	switch mode := r.byte(); mode {
	case frameAsIs:
		w.readCommands(&r, f)
	case frameOrdered:
		for _, h := range w.sampled {
			w.readInputs(&r, f, h)
		}
		w.readCommands(&r, f)
		w.Order(f.Tick, f.Commands)
	default:
		r.fail(errMode)
	}
	if r.end(); r.err != nil {
		f.Commands = f.Commands[:0]
		return fmt.Errorf("ecs: frame of tick %d: %w", f.Tick, r.err)
	}
	return nil
}

// readInputs reads the inputs of one kind.
func (w *World) readInputs(r *reader, f *Frame, h *handler) {
	at := 0
	for range r.count(1) {
		head := r.byte()
		skipped := int(head >> skipShift)
		if skipped == skipMore {
			skipped = r.below(len(w.sessions.list) + 1)
		}
		at += skipped
		if r.err == nil && at >= len(w.sessions.list) {
			r.fail(errNoSession)
		}
		if r.err != nil {
			return
		}
		w.readInput(r, f, h, head, w.sessions.list[at])
		at++
	}
}

func (w *World) readInput(r *reader, f *Frame, h *handler, head byte, x *session) {
	c := Command{Kind: uint16(h.f.id), Source: Source{SourceClient, x.ID}}
	if head&inputRepeated != 0 {
		c.Flags = FlagRepeated
	}
	switch head & seqBits {
	case seqSame:
		c.Seq = x.InputSeq
	case seqNext:
		c.Seq = x.InputSeq + 1
	case seqGiven:
		c.Seq = r.uvarint()
	default:
		r.fail(errInput)
	}
	last := x.inputs[h.ordinal].payload
	switch how := head & valueBits; {
	case how == valueGiven:
		c.Payload = r.take(h.f.Packed)
	case how == valueSame && last != nil:
		c.Payload = last
	case how == valueMasked && last != nil:
		c.Payload = w.readMasked(r, last)
	case how == valueSame || how == valueMasked:
		r.fail(errNoInput)
	case how == valueZero && c.Flags == FlagRepeated:
		c.Flags, c.Payload = FlagRepeated|FlagNeutral, w.zeros(h.f.Packed)
	default:
		r.fail(errInput)
	}
	if r.err == nil {
		f.Commands = append(f.Commands, c)
	}
}

// zeros returns n zero bytes, valid until the next DecodeFrame.
func (w *World) zeros(n int) []byte {
	from := len(w.recording.values)
	v := append(w.recording.values, make([]byte, n)...)
	w.recording.values = v
	return v[from:len(v):len(v)]
}

// readMasked is the inverse of appendMasked.
func (w *World) readMasked(r *reader, last []byte) []byte {
	mask := r.take((len(last) + 7) / 8)
	if r.err != nil {
		return nil
	}
	from := len(w.recording.values)
	v := append(w.recording.values, last...)
	w.recording.values = v
	v = v[from:len(v):len(v)]
	for i := range v {
		if mask[i/8]>>(i%8)&1 == 1 {
			v[i] = r.byte()
		}
	}
	return v
}

// readCommands reads the other commands.
func (w *World) readCommands(r *reader, f *Frame) {
	for range r.count(4) {
		c := w.readCommand(r)
		if r.err != nil {
			return
		}
		f.Commands = append(f.Commands, c)
	}
}

func (w *World) readCommand(r *reader) (c Command) {
	head := r.byte()
	c.Source.Kind = SourceKind(head & sourceGiven)
	if c.Source.Kind == sourceGiven {
		c.Source.Kind = SourceKind(r.byte())
	}
	if head&^(sourceGiven|commandRepeated|commandFlags|commandLength|commandSession) != 0 {
		r.fail(errCommand)
	}
	kind := r.below(1 << 16)
	c.Kind = uint16(kind)
	if head&commandSession != 0 {
		at := r.below(len(w.sessions.list))
		applied := r.uvarint()
		if r.err != nil {
			return c
		}
		c.Source.ID, c.Seq = w.sessions.ids[at], w.sessions.list[at].AppliedSeq+applied
	} else {
		c.Source.ID, c.Seq = r.uvarint(), r.uvarint()
	}
	if head&commandRepeated != 0 {
		c.Flags = FlagRepeated
	}
	if head&commandFlags != 0 {
		c.Flags = r.byte()
	}
	switch {
	case head&commandLength != 0:
		c.Payload = r.bytes()
	case kind < len(w.handlers):
		c.Payload = r.take(w.handlers[kind].f.Packed)
	default:
		r.fail(errCommand)
	}
	return c
}
