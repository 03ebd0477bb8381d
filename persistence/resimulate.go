package persistence

import (
	"bytes"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Resimulate steps w, which is at the tick before r, through the ticks of r up to
// and including tick to (0: all). It compares each with the recorded one:
// checksum, outbox, and which systems and commands failed. It calls each, if not
// nil, for every tick that agrees; out is valid only during the call, and if each
// returns an error, Resimulate stops and returns it. If a tick differs, Resimulate
// returns a *DivergedError and leaves w at that tick with the computed state.
//
// It depends only on w and r. A record without ticks changes nothing.
func Resimulate(w *ecs.World, r *Record, to uint64, each func(t *TickRecord, out ecs.Output) error) error {
	var frame ecs.Frame
	for i := range r.Ticks {
		t := &r.Ticks[i]
		if to > 0 && t.Tick > to {
			return nil
		}
		out, err := resimulateTick(w, r.Seq, t, &frame)
		if err != nil {
			return err
		}
		if each == nil {
			continue
		}
		if err := each(t, out); err != nil {
			return err
		}
	}
	return nil
}

// resimulateTick steps w through t. frame is scratch memory.
func resimulateTick(w *ecs.World, seq Seq, t *TickRecord, frame *ecs.Frame) (ecs.Output, error) {
	diverged := func(computed uint64, format string, args ...any) error {
		return &DivergedError{Seq: seq, Tick: t.Tick, Recorded: t.Checksum, Computed: computed, Reason: fmt.Sprintf(format, args...)}
	}
	if err := w.Err(); err != nil {
		return ecs.Output{}, err
	}
	if w.Tick()+1 != t.Tick {
		return ecs.Output{}, diverged(0, "the world is at tick %d", w.Tick())
	}
	if err := w.DecodeFrame(t.Frame, frame); err != nil {
		return ecs.Output{}, diverged(0, "this build of the game cannot read the frame: %v", err)
	}
	if frame.Tick != t.Tick {
		return ecs.Output{}, diverged(0, "the frame is for tick %d", frame.Tick)
	}
	out := w.Step(*frame)
	switch {
	case out.Checksum != t.Checksum:
		return out, diverged(out.Checksum, "checksum")
	case !sameOutbox(out.Outbox, t.Outbox):
		return out, diverged(out.Checksum, "outbox: %d messages computed, %d recorded", len(out.Outbox), len(t.Outbox))
	case !sameFailures(panics(out.Failures), panics(t.Failures)):
		return out, diverged(out.Checksum, "failures: %d computed, %d recorded", len(panics(out.Failures)), len(panics(t.Failures)))
	}
	return out, nil
}

func sameOutbox(a, b []ecs.Message) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].To != b[i].To || a[i].Name != b[i].Name || a[i].N != b[i].N || !bytes.Equal(a[i].Payload, b[i].Payload) {
			return false
		}
	}
	return true
}

// sameFailures compares the places of failures and not their texts, which may differ between versions of Go.
func sameFailures(a, b []ecs.Failure) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].System != b[i].System || a[i].Command != b[i].Command {
			return false
		}
	}
	return true
}
