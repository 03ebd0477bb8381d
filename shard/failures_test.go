package shard

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
)

// warnings is a log handler that keeps lines at level Warn, with their attributes.
type warnings struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level != slog.LevelWarn {
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
	return nil
}

// ill is walk with a system that fails between two ticks, and a push that fails depending on its strength: 1 is rejected, 2
// panics.
func ill(from, to uint64) ecs.Game {
	game := walk(0)
	setup := game.Setup
	game.Setup = func(w *ecs.World) {
		setup(w)
		ecs.System(w, "stumble", func(t *ecs.Tick, _ *ecs.Query[tMover]) {
			if t.Now() >= from && t.Now() <= to {
				panic(fmt.Sprintf("a stone at tick %d", t.Now()))
			}
		})
		ecs.Handle[tPull](w, "pull", func(t *ecs.Tick, c *ecs.Cmd[tPull], _ *ecs.Query[tMover]) {
			switch c.Value.By {
			case 1:
				c.Reject("not so strong")
			case 2:
				panic("a rope broke")
			}
		})
	}
	return game
}

type tPull struct{ By float64 }

// pullers latches a pull of some strength in some ticks.
type pullers struct {
	players
	by map[uint64]float64
}

func (p *pullers) Latch(w *ecs.World, tick uint64, dst []ecs.Command, _ int) []ecs.Command {
	if by, ok := p.by[tick]; ok {
		dst = append(dst, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator, ID: 1}, tick, tPull{by}))
	}
	return dst
}

// TestFailuresAreToldAtOnceAndThenCounted: 30 ticks are a second, and ticks 31 to 690 fail, 22 seconds long.
func TestFailuresAreToldAtOnceAndThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &warnings{Handler: slog.DiscardHandler}
		h, _, _ := b.host("a", func(c *HostConfig) {
			c.Game, c.Logger = ill(31, 690), slog.New(log)
			c.Frontend = &pullers{by: map[uint64]float64{40: 1, 50: 2, 60: 1}}
		})
		if err := b.run(h, 40*time.Second); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"a system failed name=stumble tick=31 reason=panic: a stone at tick 31 times=1",
			"a command failed name=pull tick=50 reason=panic: a rope broke times=1",
			"a system failed name=stumble tick=32 reason=panic: a stone at tick 32 times=300",
			"a system failed name=stumble tick=332 reason=panic: a stone at tick 332 times=300",
			"a system failed name=stumble tick=632 reason=panic: a stone at tick 632 times=59",
		}
		for i, line := range log.lines { // each with the line of the panic
			told, place, _ := strings.Cut(line, " place=")
			if log.lines[i] = told; !strings.HasPrefix(place, "shard.") || !strings.Contains(place, "(shard/failures_test.go:") {
				t.Errorf("%q has the place %q", told, place)
			}
		}
		if !slices.Equal(log.lines, want) {
			t.Errorf("told:\n%s\nwant:\n%s", strings.Join(log.lines, "\n"), strings.Join(want, "\n"))
		}
		if f := h.Stats().Failures; len(f) != 2 || f["stumble"] != 660 || f["pull"] != 1 {
			t.Errorf("counted %v", f)
		}
		b.check(ill(31, 690))
	})
}

// TestFailuresAreToldBeforeTheEnd: a host that stops before the next line is due logs what it has counted since the last one.
func TestFailuresAreToldBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &warnings{Handler: slog.DiscardHandler}
		h, _, _ := b.host("a", func(c *HostConfig) { c.Game, c.Logger = ill(1, 1000), slog.New(log) })
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("a system failed name=stumble tick=2 reason=panic: a stone at tick 2 times=%d place=", h.Stats().Committed-1)
		if len(log.lines) != 2 || !strings.HasPrefix(log.lines[1], want) {
			t.Errorf("told:\n%s\nwant %s", strings.Join(log.lines, "\n"), want)
		}
	})
}

func TestWhatIsRecoveredIsNotToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.Game = ill(1, 40) })
		if err := b.run(h, 2*time.Second); err != nil || h.Stats().Failures["stumble"] != 40 {
			t.Fatal(err, h.Stats().Failures)
		}
		log := &warnings{Handler: slog.DiscardHandler}
		h2, _, _ := b.host("b", func(c *HostConfig) { c.Game, c.Logger = ill(1, 40), slog.New(log) })
		if err := b.run(h2, 2*time.Second); err != nil || len(log.lines) > 0 || h2.Stats().Failures != nil {
			t.Errorf("%v: %q, %v", err, log.lines, h2.Stats().Failures)
		}
	})
}
