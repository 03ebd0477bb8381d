package ecs_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// breaking panics in one of many ways and notes the line of the fault.
type breaking struct {
	line int
	bad  []int
	none *int
	mail *ecs.Outbox[note]
}

// here notes the line of its caller.
func (b *breaking) here() int {
	_, _, b.line, _ = runtime.Caller(1)
	return 0
}

func (b *breaking) helper(n int) string { return strings.Repeat("x", n-len("ab")+b.here()) } // the standard library panics

var breaks = map[string]func(*breaking){
	"a panic":                             func(b *breaking) { b.here(); panic("oh") },
	"an index":                            func(b *breaking) { _ = b.bad[4+b.here()] },
	"a nil pointer":                       func(b *breaking) { b.here(); *b.none = 1 },
	"a helper in the standard library":    func(b *breaking) { b.helper(1) },
	"a misuse of this package":            func(b *breaking) { b.here(); b.mail.Send("", note{}) },
	"a panic while another one is served": func(b *breaking) { defer func() { b.here(); panic("again") }(); panic("first") },
}

// TestPanicsHaveAPlace: the place is the game's line, not that of a library it called, nor of this package.
func TestPanicsHaveAPlace(t *testing.T) {
	for name, f := range breaks {
		b := &breaking{}
		w := small(t, func(w *ecs.World) {
			ecs.System(w, "break", func(_ *ecs.Tick, mail *ecs.Outbox[note]) {
				b.mail = mail
				f(b)
			})
		})
		o := w.Step(frame(w))
		if len(o.Failures) != 1 {
			t.Fatalf("%s: %v", name, o.Failures)
		}
		if got, want := o.Failures[0].Place, fmt.Sprintf("(ecs/place_test.go:%d)", b.line); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "ecs_test.") {
			t.Errorf("%s: the place is %q, want a function of ecs_test %s", name, got, want)
		}
	}
}

type fussy struct{ N uint8 }

// Validate has a bug.
func (f fussy) Validate() error {
	return []error{nil}[f.N]
}

func TestOnlyPanicsHaveAPlace(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.Handle[fussy](w, "fussy", func(_ *ecs.Tick, c *ecs.Cmd[fussy]) { c.Reject("no") })
	})
	op := ecs.Source{Kind: ecs.SourceOperator}
	o := w.Step(frame(w, ecs.NewCommand(w, op, 1, fussy{0}), ecs.NewCommand(w, op, 2, fussy{3})))
	if len(o.Failures) != 2 || o.Failures[0].Place != "" || !o.Failures[0].Rejected {
		t.Fatalf("%+v", o.Failures)
	}
	if got := o.Failures[1].Place; !strings.HasPrefix(got, "ecs_test.fussy.Validate (ecs/place_test.go:") || strings.Contains(o.Failures[1].Reason, ".go") {
		t.Errorf("%+v", o.Failures[1])
	}
}
