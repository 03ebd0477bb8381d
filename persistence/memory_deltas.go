package persistence

import (
	"context"
	"fmt"
	"iter"
)

// MemoryDeltas is a handle of a delta stream in memory; its methods are those
// of DeltaWriter.
type MemoryDeltas struct {
	m       *Memory
	known   bool
	lastSeq uint64 // the fence: the stream's last message as this handle knows it
}

// Last returns the stream's last message without its body, and moves the
// handle's fence behind it.
func (d *MemoryDeltas) Last(ctx context.Context) (Delta, bool, error) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.known, d.lastSeq = true, d.m.deltaSeq
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
		parts, err := deltas[i].Split(d.m.payload())
		if err != nil {
			return err
		}
		for j := range parts {
			if err := d.publish(ctx, &parts[j]); err != nil {
				return err
			}
		}
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

// Read yields whole deltas and gaps in order, beginning with the first that
// ends at or after the tick, as they are when reading begins.
func (d *MemoryDeltas) Read(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		d.m.mu.Lock()
		all := d.m.deltas[:len(d.m.deltas):len(d.m.deltas)]
		d.m.mu.Unlock()
		for len(all) > 0 && all[0].header.Tick < fromTick {
			all = all[1:]
		}
		JoinDeltas(func(yield func(Delta, error) bool) {
			for _, s := range all {
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

// JoinDeltas turns the messages of a delta stream into whole deltas and gaps.
// It drops parts before the first part 1 (the stream's retention cut a tick) and
// those at the end that are not complete. After an error it goes on with the
// next message as long as the caller does.
func JoinDeltas(messages iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
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
