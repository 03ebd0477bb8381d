package ecs

import (
	"cmp"
	"slices"
)

// The body of a frame in the log, see FORMAT.md. A frame in the order of World.Order, as every host makes it, is
// written by session and kind, without what the world before the tick already implies: an input equal to its session's
// previous one is one byte. Other frames keep their order and take more space.

const (
	frameAsIs    = 0 // commands in the order of the frame
	frameOrdered = 1 // inputs by kind and session, then commands; Order restores the frame
)

// An input's head byte: bits 0-1 encoding of its number, 2-3 encoding of its value, 4 repeated or neutral, 5-7 how many
// sessions without an input of this kind precede it, 7 meaning that a uvarint follows.
const (
	seqSame  = 0 // the session's InputSeq
	seqNext  = 1 // one more
	seqGiven = 2 // a uvarint
	seqBits  = 3

	valueSame   = 0 << 2 // the session's last value
	valueGiven  = 1 << 2 // packed
	valueMasked = 2 << 2 // a bit per byte, then the bytes that differ from the last value
	valueZero   = 3 << 2 // neutral: all zero and repeated

	valueBits = 3 << 2

	inputRepeated = 1 << 4
	skipShift     = 5
	skipMore      = 7
)

// A command's head byte: bits 0-2 kind of source, 7 meaning that a byte follows; 3 repeated; 4 other flags in a byte; 5
// payload length differs from its kind's; 6 the source is a session, by index.
const (
	sourceGiven     = 7
	commandRepeated = 1 << 3
	commandFlags    = 1 << 4
	commandLength   = 1 << 5
	commandSession  = 1 << 6
)

// AppendFrame appends f in the form that the log holds. Call it before Step: the world must be at the tick before f's.
func (w *World) AppendFrame(dst []byte, f Frame) []byte {
	dst = appendUvarint(dst, f.Tick)
	if !w.ordered(f.Tick, f.Commands) {
		dst = append(dst, frameAsIs)
		dst = appendUvarint(dst, uint64(len(f.Commands)))
		for i := range f.Commands {
			dst = w.appendCommand(dst, &f.Commands[i])
		}
		return dst
	}
	dst = append(dst, frameOrdered)
	inputs := w.sortInputs(f.Commands)
	for _, h := range w.sampled {
		dst, inputs = w.appendInputs(dst, h, f.Commands, inputs)
	}
	rest := 0
	for i := range f.Commands {
		if !w.recording.isInput[i] {
			rest++
		}
	}
	dst = appendUvarint(dst, uint64(rest))
	for i := range f.Commands {
		if !w.recording.isInput[i] {
			dst = w.appendCommand(dst, &f.Commands[i])
		}
	}
	return dst
}

// recording is scratch memory for AppendFrame and DecodeFrame.
type recording struct {
	inputs  []inputRef
	isInput []bool
	values  []byte
}

// inputRef is a command that can be written as an input.
type inputRef struct {
	ordinal int // of its kind among the sampled ones
	session int // index in the list of sessions
	at      int // index in the frame
}

// sortInputs returns the commands that are the first of their session and sampled kind, sorted by kind and session.
func (w *World) sortInputs(commands []Command) []inputRef {
	rec := &w.recording
	rec.inputs = rec.inputs[:0]
	rec.isInput = append(rec.isInput[:0], make([]bool, len(commands))...)
	for i := range commands {
		c := &commands[i]
		if c.Source.Kind != SourceClient || int(c.Kind) >= len(w.handlers) || !writtenAsInput(c) {
			continue
		}
		h := w.handlers[c.Kind]
		if !h.f.Sampled || len(c.Payload) != h.f.Packed {
			continue
		}
		if at, ok := slices.BinarySearch(w.sessions.ids, c.Source.ID); ok {
			rec.inputs = append(rec.inputs, inputRef{h.ordinal, at, i})
			rec.isInput[i] = true
		}
	}
	slices.SortStableFunc(rec.inputs, func(a, b inputRef) int {
		return cmp.Or(a.ordinal-b.ordinal, a.session-b.session, a.at-b.at)
	})
	kept := rec.inputs[:0]
	for _, in := range rec.inputs {
		if k := len(kept); k > 0 && kept[k-1].ordinal == in.ordinal && kept[k-1].session == in.session {
			rec.isInput[in.at] = false // a second one, which no host admits: written like any other command
			continue
		}
		kept = append(kept, in)
	}
	return kept
}

// writtenAsInput reports whether an input's head byte can express c's flags.
func writtenAsInput(c *Command) bool {
	return c.Flags&^FlagRepeated == 0 || c.Flags == FlagRepeated|FlagNeutral && allZero(c.Payload)
}

// appendInputs appends the inputs of one kind and returns the remaining ones.
func (w *World) appendInputs(dst []byte, h *handler, commands []Command, inputs []inputRef) ([]byte, []inputRef) {
	n := 0
	for n < len(inputs) && inputs[n].ordinal == h.ordinal {
		n++
	}
	dst = appendUvarint(dst, uint64(n))
	next := 0
	for _, in := range inputs[:n] {
		dst = appendInput(dst, h, &commands[in.at], w.sessions.list[in.session], in.session-next)
		next = in.session + 1
	}
	return dst, inputs[n:]
}

func appendInput(dst []byte, h *handler, c *Command, x *session, skipped int) []byte {
	head := len(dst)
	dst = append(dst, byte(min(skipped, skipMore)<<skipShift))
	if skipped >= skipMore {
		dst = appendUvarint(dst, uint64(skipped))
	}
	if c.Flags&FlagRepeated != 0 {
		dst[head] |= inputRepeated
	}
	switch c.Seq {
	case x.InputSeq:
	case x.InputSeq + 1:
		dst[head] |= seqNext
	default:
		dst[head] |= seqGiven
		dst = appendUvarint(dst, c.Seq)
	}
	if c.Flags&FlagNeutral != 0 {
		dst[head] |= valueZero
		return dst
	}
	last := x.inputs[h.ordinal].payload
	if last != nil && string(last) == string(c.Payload) {
		return dst
	}
	if last != nil {
		from := len(dst)
		if dst = appendMasked(dst, last, c.Payload); len(dst)-from < len(c.Payload) {
			dst[head] |= valueMasked
			return dst
		}
		dst = dst[:from]
	}
	dst[head] |= valueGiven
	return append(dst, c.Payload...)
}

// appendMasked appends a bit per byte of v, set where it differs from last, then those bytes.
func appendMasked(dst, last, v []byte) []byte {
	head := len(dst)
	for range (len(v) + 7) / 8 {
		dst = append(dst, 0)
	}
	for i, c := range v {
		if c != last[i] {
			dst[head+i/8] |= 1 << (i % 8)
			dst = append(dst, c)
		}
	}
	return dst
}

func (w *World) appendCommand(dst []byte, c *Command) []byte {
	head := min(byte(c.Source.Kind), sourceGiven)
	at, session := 0, false
	var applied uint64
	if c.Source.Kind == SourceClient {
		if at, session = slices.BinarySearch(w.sessions.ids, c.Source.ID); session {
			head |= commandSession
			applied = w.sessions.list[at].AppliedSeq
		}
	}
	if c.Flags == FlagRepeated {
		head |= commandRepeated
	} else if c.Flags != 0 {
		head |= commandFlags
	}
	sized := int(c.Kind) < len(w.handlers) && len(c.Payload) == w.handlers[c.Kind].f.Packed
	if !sized {
		head |= commandLength
	}
	dst = append(dst, head)
	if head&sourceGiven == sourceGiven {
		dst = append(dst, byte(c.Source.Kind))
	}
	dst = appendUvarint(dst, uint64(c.Kind))
	if session {
		dst = appendUvarint(dst, uint64(at))
		dst = appendUvarint(dst, c.Seq-applied) // wraps around; the reader wraps back
	} else {
		dst = appendUvarint(dst, c.Source.ID)
		dst = appendUvarint(dst, c.Seq)
	}
	if head&commandFlags != 0 {
		dst = append(dst, c.Flags)
	}
	if !sized {
		dst = appendUvarint(dst, uint64(len(c.Payload)))
	}
	return append(dst, c.Payload...)
}
