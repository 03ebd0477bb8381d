package ecstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ferris1/wind/ecs"
)

// Fuzz adds commands that no honest client would send: random bytes, wrong lengths, unknown kinds and sessions, old
// sequence numbers. No command may crash the world, the world must refuse each invalid one, and no handler or
// system may panic.
func Fuzz(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	live := newWorld(tb, g, c, 5)
	play := newTraffic(c, 5)
	for range c.Ticks {
		f := play.frame(live)
		for range play.r.IntN(4) {
			f.Commands = append(f.Commands, hostile(play, live))
		}
		play.r.Shuffle(len(f.Commands), func(i, j int) { f.Commands[i], f.Commands[j] = f.Commands[j], f.Commands[i] })
		valid := make([]error, len(f.Commands))
		for i := range f.Commands {
			valid[i] = live.Validate(&f.Commands[i])
		}
		out, panicked := stepSafely(live, f)
		if panicked != nil {
			tb.Fatalf("tick %d: Step panics: %v", f.Tick, panicked)
		}
		if report := unexpected(live, f, valid, out); report != "" {
			tb.Errorf("tick %d: %s", f.Tick, report)
			return
		}
		if live.Recompute() != out.Checksum {
			tb.Errorf("tick %d: after hostile commands the checksum does not match the values", f.Tick)
			return
		}
	}
	if _, err := ecs.Restore(g, live.AppendSnapshot(nil)); err != nil {
		tb.Errorf("after hostile commands the snapshot cannot be restored: %v", err)
	}
}

func stepSafely(w *ecs.World, f ecs.Frame) (out ecs.Output, panicked any) {
	defer func() { panicked = recover() }()
	return w.Step(f), nil
}

// unexpected describes what an output should not contain: a panic of the game's code, or the effect of an invalid
// command.
func unexpected(w *ecs.World, f ecs.Frame, valid []error, out ecs.Output) string {
	failed := map[int]bool{}
	for _, failure := range out.Failures {
		failed[failure.Command] = true
		switch {
		case !strings.HasPrefix(failure.Reason, "panic: "): // rejected, invalid or a duplicate
		case failure.Command < 0:
			return fmt.Sprintf("system %q panics in %s: %s", failure.System, failure.Place, strings.TrimPrefix(failure.Reason, "panic: "))
		default:
			command := f.Commands[failure.Command]
			typ := &w.Schema().Commands[command.Kind]
			return fmt.Sprintf("the handler of %s %s panics in %s: %s", typ.Name, typ.Format(command.Payload), failure.Place, strings.TrimPrefix(failure.Reason, "panic: "))
		}
	}
	for i, err := range valid {
		// A session that joins or leaves in this very frame outdates Validate's answer.
		if err != nil && !failed[i] && !joins(f, i) {
			return fmt.Sprintf("a command that Validate refuses (%v) was carried out", err)
		}
	}
	return ""
}

// joins reports whether a command's session joins earlier in the frame.
func joins(f ecs.Frame, i int) bool {
	return slices.ContainsFunc(f.Commands[:i], func(c ecs.Command) bool { return c.Kind == 0 && c.Source == f.Commands[i].Source })
}

// hostile returns a command that is wrong in one of many ways or, by chance, valid.
func hostile(t *traffic, w *ecs.World) ecs.Command {
	r := t.r
	kinds := len(w.Schema().Commands)
	c := ecs.Command{Kind: uint16(r.IntN(kinds)), Source: client(1 + r.Uint64N(t.last+2)), Seq: r.Uint64N(40)}
	c.Payload = t.payload(w, &w.Schema().Commands[c.Kind])
	if c.Kind < firstOwnKind && r.IntN(4) != 0 && kinds > firstOwnKind {
		c.Kind = uint16(firstOwnKind + r.IntN(kinds-firstOwnKind))
	}
	switch r.IntN(9) {
	case 0:
		c.Kind = uint16(r.IntN(1 << 16))
	case 1:
		c.Source = ecs.Source{Kind: ecs.SourceKind(r.IntN(256)), ID: r.Uint64N(4)}
	case 2:
		c.Payload = noise(r, r.IntN(80))
	case 3:
		c.Payload = noise(r, len(c.Payload))
	case 4:
		c.Payload = c.Payload[:r.IntN(len(c.Payload)+1)]
	case 5:
		c.Flags = uint8(r.IntN(256))
	case 6:
		c.Seq = r.Uint64()
	case 7: // the extremes of every number
		for i := range c.Payload {
			c.Payload[i] = 0xff
		}
	case 8:
		c.Payload = nil
	}
	return c
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
