package persistence

import (
	"context"
	"fmt"
	"iter"
)

// MemoryDeltas is a handle of a delta stream in memory. It implements DeltaWriter.
type MemoryDeltas struct {
	m       *Memory
	known   bool
	lastSeq uint64 // the fence: the stream's last message as this handle knows it
	packer  DeltaPacker
}

// Last returns the stream's last message without its body and sets the handle's
// fence to it.
func (d *MemoryDeltas) Last(ctx context.Context) (Delta, bool, error) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.known, d.lastSeq = true, d.m.deltaSeq
	d.packer.Restart()
	if n := len(d.m.deltas); n > 0 {
		return d.m.deltas[n-1].header, true, ctx.Err()
	}
	return Delta{}, false, ctx.Err()
}

// Publish appends whole deltas or gaps in order, or returns ErrConflict. It
// encodes and decodes them as a real stream does.
func (d *MemoryDeltas) Publish(ctx context.Context, deltas []Delta) error {
	if !d.known {
		if _, _, err := d.Last(ctx); err != nil {
			return err
		}
	}
	for i := range deltas {
		packed, err := d.packer.Pack(deltas[i])
		if err != nil {
			return err
		}
		parts, err := packed.Split(d.m.payload())
		if err != nil {
			return err
		}
		for j := range parts {
			if err := d.publish(ctx, &parts[j]); err != nil {
				return err
			}
		}
		d.packer.Stored()
	}
	return nil
}

func (d *MemoryDeltas) publish(ctx context.Context, part *Delta) error {
	body, err := part.Encode(nil)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m := d.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deltaSeq != d.lastSeq {
		return fmt.Errorf("%w: the delta stream's last sequence is %d, %d was expected", ErrConflict, m.deltaSeq, d.lastSeq)
	}
	header := *part
	header.Body = nil
	m.deltas = append(m.deltas, storedDelta{header: header, body: body})
	m.deltaSeq++
	d.lastSeq = m.deltaSeq
	if m.MaxDeltas > 0 && len(m.deltas) > m.MaxDeltas {
		m.deltas = m.deltas[len(m.deltas)-m.MaxDeltas:]
	}
	return nil
}

// Read yields whole deltas and gaps in order, beginning with the first that ends
// at or after the tick. It reads the stream as it is when iteration begins.
func (d *MemoryDeltas) Read(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		d.m.mu.Lock()
		all := d.m.deltas[:len(d.m.deltas):len(d.m.deltas)]
		d.m.mu.Unlock()
		first := 0
		for first < len(all) && all[first].header.Tick < fromTick {
			first++
		}
		if first < len(all) && all[first].header.Group > 0 { // back to the beginning of its group
			for group := all[first].header.Group; first > 0 && all[first-1].header.Group == group; {
				first--
			}
		}
		FromTick(fromTick, func(yield func(Delta, error) bool) {
			for _, s := range all[first:] {
				if err := ctx.Err(); err != nil {
					yield(Delta{}, err)
					return
				}
				if !yield(DecodeDelta(s.body)) {
					return
				}
			}
		})(yield)
	}
}

// FromTick is like JoinDeltas, but omits the deltas and gaps that end before a tick. messages must begin with the group of that
// tick.
func FromTick(tick uint64, messages iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		for d, err := range JoinDeltas(messages) {
			if (err != nil || d.Tick >= tick) && !yield(d, err) {
				return
			}
		}
	}
}

// JoinDeltas turns the messages of a delta stream into whole, unpacked deltas and gaps. At the beginning, where retention
// may have cut the stream, it drops parts before the first part 1 and deltas before the first group. At the end it drops
// incomplete parts. After an error it continues with the next message as long as the caller does.
func JoinDeltas(messages iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
	return unpackDeltas(joinParts(messages))
}

func joinParts(messages iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		var j Joiner
		begun := false
		for d, err := range messages {
			if err != nil {
				if !yield(Delta{}, err) {
					return
				}
				continue
			}
			if !begun && d.Part > 1 {
				continue
			}
			begun = true
			whole, complete, err := j.Add(d)
			if (complete || err != nil) && !yield(whole, err) {
				return
			}
		}
	}
}
