package ecs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

func TestOrderDoesNotDependOnArrival(t *testing.T) {
	w := meeting(t)
	var commands []ecs.Command
	for id := uint64(1); id < 30; id++ {
		commands = append(commands, ecs.NewCommand(w, client(id), id%3, order{1}), ecs.NewCommand(w, client(id), 9, order{2}),
			ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceKind(id % 4), ID: id}, 1, order{3}))
	}
	w.Order(5, commands)
	want := fmt.Sprint(commands)
	r := rand.New(rand.NewPCG(historySeed(t), 3))
	for range 20 {
		r.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
		w.Order(5, commands)
		if got := fmt.Sprint(commands); got != want {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
	}
	for i := range commands[1:] {
		a, b := commands[i], commands[i+1]
		if a.Source.Kind > b.Source.Kind || a.Source == b.Source && a.Seq > b.Seq {
			t.Errorf("%v %d comes before %v %d", a.Source, a.Seq, b.Source, b.Seq)
		}
	}
}

func TestNoOneAlwaysComesFirst(t *testing.T) {
	w := meeting(t)
	first := map[uint64]int{}
	for tick := range uint64(4000) {
		var commands []ecs.Command
		for id := uint64(1); id <= 4; id++ {
			commands = append(commands, ecs.NewCommand(w, client(id), 1, order{}))
		}
		w.Order(tick, commands)
		first[commands[0].Source.ID]++
	}
	for id := uint64(1); id <= 4; id++ {
		if n := first[id]; n < 850 || n > 1150 {
			t.Errorf("session %d came first %d times of 4000", id, n)
		}
	}
}

// TestAnInputLikeTheLastIsAByte checks the sizes that determine a log's growth.
func TestAnInputLikeTheLastIsAByte(t *testing.T) {
	w := meeting(t)
	const players = 50
	var commands []ecs.Command
	for id := uint64(1); id <= players; id++ {
		commands = append(commands, joins(w, id*1_000_000_007, "player"))
	}
	w.Step(frame(w, commands...))
	inputs := func(seq uint64, at float64, flags uint8) ecs.Frame {
		commands = commands[:0]
		for s := range w.EachSession {
			c := ecs.NewCommand(w, client(s.ID), seq, aim{at})
			c.Flags = flags
			commands = append(commands, c)
		}
		return frame(w, commands...)
	}
	for _, c := range []struct {
		what  string
		frame func() ecs.Frame
		most  int // bytes per input
	}{
		{"first", func() ecs.Frame { return inputs(1, 3, 0) }, 9},
		{"the same again", func() ecs.Frame { return inputs(2, 3, 0) }, 1},
		{"repeated by the host", func() ecs.Frame { return inputs(2, 3, ecs.FlagRepeated) }, 1},
		{"two bytes differ", func() ecs.Frame { return inputs(3, 3.25, 0) }, 4},
		{"neutral", func() ecs.Frame { return inputs(3, 0, ecs.FlagRepeated|ecs.FlagNeutral) }, 1},
		{"a value after a neutral one", func() ecs.Frame { return inputs(4, 3.25, 0) }, 9},
		{"a number is passed over", func() ecs.Frame { return inputs(6, 3.25, 0) }, 2},
	} {
		f := c.frame()
		b := w.AppendFrame(nil, f)
		if most := c.most*players + 6; len(b) > most {
			t.Errorf("%s: %d bytes for %d inputs, want at most %d", c.what, len(b), players, most)
		}
		var got ecs.Frame
		if err := w.DecodeFrame(b, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(f) {
			t.Errorf("%s: read as %v, %v, want %v", c.what, got, err, f)
		}
		w.Step(f)
	}
	var other ecs.Frame
	if err := w.DecodeFrame(w.AppendFrame(nil, ecs.Frame{Tick: 77}), &other); err == nil || !strings.Contains(err.Error(), "frame of tick 77 on a world at tick 8") {
		t.Error(err)
	}
}

// TestACommandTakesNoMoreThanItsWeight: a tick's budget counts weights, so that the record fits into the log.
func TestACommandTakesNoMoreThanItsWeight(t *testing.T) {
	w := meeting(t)
	for _, length := range []int{0, 1, 127, 128, 1 << 14, 1 << 20} {
		for _, source := range []ecs.Source{{}, client(1 << 63), {Kind: 255, ID: 1<<64 - 1}} {
			c := ecs.Command{Kind: 1<<16 - 1, Source: source, Seq: 1<<64 - 1, Flags: 255, Payload: make([]byte, length)}
			empty := len(w.AppendFrame(nil, ecs.Frame{Tick: 1}))
			got := len(w.AppendFrame(nil, ecs.Frame{Tick: 1, Commands: []ecs.Command{c}})) - empty
			if got > c.Weight() {
				t.Errorf("a command of %d bytes from %v takes %d bytes, its weight is %d", length, source, got, c.Weight())
			}
		}
	}
}
