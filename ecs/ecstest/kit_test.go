package ecstest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// recorder is a TB that records the result of testing a game.
type recorder struct{ logs, errors []string }

func (r *recorder) Helper() {}
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// verdict returns the errors that the parts of the kit report about a game, by part.
func verdict(g ecs.Game, c Config) map[string]string {
	said := map[string]string{}
	for _, p := range parts {
		r := &recorder{}
		done := make(chan struct{})
		go func() { // for Goexit
			defer close(done)
			p.run(r, g, c)
		}()
		<-done
		if len(r.errors) > 0 {
			said[p.name] = strings.Join(r.errors, "\n")
		}
	}
	return said
}

// TestAGameThatNoClientCouldBeServedFails in every part, naming the component, the field and the tag.
func TestAGameThatNoClientCouldBeServedFails(t *testing.T) {
	type place struct {
		X float64 `wind:"quant=1"`
		Y float64
	}
	said := verdict(ecs.Game{Name: "bad", TickRate: 30, Setup: func(w *ecs.World) { ecs.Component[place](w, "position", ecs.Spatial) }}, Config{})
	for _, p := range parts {
		if want := `component "position": place.X: the tag wind:"quant=1" has the key "quant": did you mean q?`; !strings.Contains(said[p.name], want) {
			t.Errorf("%s: %q, want %q", p.name, said[p.name], want)
		}
	}
}

func TestGoodGamePasses(t *testing.T) {
	Run(t, skirmish(nil))
}

func TestGoodGamePassesWithOptionsAndItsOwnPlay(t *testing.T) {
	g := skirmish(nil)
	g.Options = options{Monsters: 3}
	Run(t, g, Config{Ticks: 200, Options: options{Monsters: 40}, Play: playSkirmish})
}

// The intended part catches each broken game, with words that lead to the mistake.
func TestBrokenGamesAreCaught(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken func(w *ecs.World)
		part   string
		says   []string // any of
	}{
		{"a package variable", breakByGlobal, "Replay", []string{"component health of entity"}},
		{"a package variable that the first world sets", breakByLeftover, "Replay", []string{"resource score"}},
		{"a variable in a closure", breakByClosure, "Restore", []string{"resource score, Value:"}},
		{"the order of a map", breakByMap, "Replay", []string{"resource score"}},
		{"wall time", breakByClock, "Replay", []string{"resource score"}},
		{"an address", breakByAddress, "Replay", []string{"resource score"}},
		{"a field tagged read that is written", breakByReadTag, "Recompute", []string{"component position of entity"}},
		{"a pointer that is kept", breakByKeptPointer, "Recompute", []string{"component player of entity"}},
		{"a Setup that differs", breakBySetup, "Setup", []string{"Setup registers differently"}},
		{"a system that allocates", breakByAllocation, "Allocations", []string{"breakByAllocation"}},
		{"a handler that trusts its input", breakByPanic, "Fuzz", []string{`the handler of trusting {index:`}},
		{"a handler that trusts its input, its place", breakByPanic, "Fuzz", []string{`panics in ecstest.breakByPanic.func1 (ecstest/games_test.go:`}},
		{"a system that panics", breakBySystemPanic, "Fuzz", []string{`system "broken" panics in ecstest.breakBySystemPanic.func1 (ecstest/games_test.go:`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := verdict(skirmish(c.broken), Config{Ticks: 300, Seed: 7})
			t.Log(said)
			got, ok := said[c.part]
			if !ok {
				t.Fatalf("%s does not catch it; caught: %v", c.part, said)
			}
			for _, words := range c.says {
				if strings.Contains(got, words) {
					return
				}
			}
			t.Errorf("%s says %q, nothing of %q", c.part, got, c.says)
		})
	}
}

func TestSeedIsPrintedAndMakesTheSameTraffic(t *testing.T) {
	r := &recorder{}
	Recompute(r, skirmish(nil), Config{Ticks: 5, Seed: 99})
	if len(r.logs) == 0 || !strings.Contains(r.logs[0], "-ecstest.seed=99") {
		t.Errorf("logs: %q", r.logs)
	}
	sum := func() uint64 {
		w := newWorld(r, skirmish(nil), Config{Seed: 99}.filled(), 0)
		play := newTraffic(Config{Seed: 99}.filled(), 0)
		for range 100 {
			w.Step(play.frame(w))
		}
		return w.Checksum()
	}
	if a, b := sum(), sum(); a != b {
		t.Errorf("the same seed plays differently: %x and %x", a, b)
	}
}

func TestCommandsThatNobodyCanGuessAreNamed(t *testing.T) {
	r := &recorder{}
	g := skirmish(func(w *ecs.World) {
		ecs.Handle[picky](w, "picky", func(*ecs.Tick, *ecs.Cmd[picky]) {})
	})
	Replay(r, g, Config{Ticks: 100, Seed: 1})
	if !strings.Contains(strings.Join(r.logs, "\n"), `"picky" was never sent`) || len(r.errors) > 0 {
		t.Errorf("logs %q, errors %q", r.logs, r.errors)
	}
}

func TestSmallestGamePasses(t *testing.T) {
	Run(t, ecs.Game{Name: "nothing", TickRate: 1, Setup: func(*ecs.World) {}}, Config{Ticks: 50})
}

func TestGameThatLetsNobodyInPasses(t *testing.T) {
	Run(t, ecs.Game{Name: "closed", TickRate: 10, Setup: func(w *ecs.World) {
		ecs.Resource[score](w, "score")
		ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Res[score]) {
			s.Get().Value++
			c.Reject("closed")
		})
	}}, Config{Ticks: 100})
}

func TestUnusableGameIsReportedOnce(t *testing.T) {
	said := verdict(ecs.Game{Name: "Bad Name", TickRate: 10, Setup: func(*ecs.World) {}}, Config{Ticks: 5})
	if len(said) != len(parts) || !strings.Contains(said["Setup"], "Bad Name") {
		t.Errorf("%v", said)
	}
}
