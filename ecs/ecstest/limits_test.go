package ecstest

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// effect is one of sixteen independent status effects.
type effect[T any] struct{ V uint8 }

// flips makes each living thing gain or lose the effect in one of four ticks.
func flips[T any](w *ecs.World, name string) {
	ecs.Component[effect[T]](w, name)
	ecs.System(w, name, func(t *ecs.Tick, q *ecs.Query[struct {
		Self ecs.Entity
		Here *health
	}], c *ecs.Comp[effect[T]],
	) {
		for v := range q.Each {
			r := t.Rand(v.Self)
			switch {
			case r.IntN(4) > 0:
			case c.Has(v.Self):
				c.Remove(v.Self)
			default:
				c.Set(v.Self, effect[T]{})
			}
		}
	})
}

func breakBySets(w *ecs.World) {
	flips[[0]int](w, "e0")
	flips[[1]int](w, "e1")
	flips[[2]int](w, "e2")
	flips[[3]int](w, "e3")
	flips[[4]int](w, "e4")
	flips[[5]int](w, "e5")
	flips[[6]int](w, "e6")
	flips[[7]int](w, "e7")
	flips[[8]int](w, "e8")
	flips[[9]int](w, "e9")
	flips[[10]int](w, "e10")
	flips[[11]int](w, "e11")
	flips[[12]int](w, "e12")
	flips[[13]int](w, "e13")
	flips[[14]int](w, "e14")
	flips[[15]int](w, "e15")
}

type letter struct{ Body ecs.Text64 }

func breakByMessages(w *ecs.World) {
	ecs.Outgoing[letter](w, "letter")
	ecs.System(w, "write", func(t *ecs.Tick, o *ecs.Outbox[letter]) {
		for range min(t.Now(), 400) {
			o.Send("mail", letter{})
		}
	})
}

func breakByFailures(w *ecs.World) {
	for i := range 40 {
		ecs.System(w, "fail-"+string(rune('A'+i)), func(*ecs.Tick) { panic("again") })
	}
}

// TestGamesNearALimitAreCaught includes sixteen status effects, which once made worlds that could not be restored.
func TestGamesNearALimitAreCaught(t *testing.T) {
	for says, broken := range map[string]func(*ecs.World){
		"the game comes near a limit: sets of components made: ":          breakBySets,
		"the game comes near a limit: bytes of messages in a tick: 36400": breakByMessages,
		"the game comes near a limit: failures in a tick: 40 of 64":       breakByFailures,
	} {
		r := &recorder{}
		Limits(r, skirmish(broken), Config{Seed: 3, Ticks: 400})
		if len(r.errors) != 1 || !strings.Contains(r.errors[0], says) {
			t.Errorf("%q, want %q", r.errors, says)
		}
		t.Log(r.errors)
	}
	r := &recorder{}
	if Limits(r, skirmish(nil), Config{Seed: 3}); len(r.errors) > 0 || len(r.logs) != 6 {
		t.Errorf("%q, %q", r.errors, r.logs)
	}
}
