package cmd

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/examples/arena"
)

// TestTailPutsSilentTicksOnOneLine: a record of a room in which nobody is has hundreds of ticks. One with a command, a message or a
// failure has a line of its own, and so has each whose commands are unknown.
func TestTailPutsSilentTicksOnOneLine(t *testing.T) {
	none := map[string]int{}
	ticks := []tailTick{
		{Tick: 9, Checksum: "c9", Counts: none},
		{Tick: 10, Checksum: "c10", Counts: none},
		{Tick: 11, Checksum: "c11", Counts: none},
		{Tick: 12, Checksum: "c12", Counts: map[string]int{"move": 2}},
		{Tick: 13, Checksum: "c13", Counts: none},
		{Tick: 14, Checksum: "c14", Counts: none, Failures: []string{"walk: no way"}},
		{Tick: 15, Checksum: "c15", Counts: none, Outbox: 1},
		{Tick: 16, Checksum: "c16"},
		{Tick: 17, Checksum: "c17"},
	}
	var out strings.Builder
	x := tailer{app: newApp(&self{program: "./mygame", name: "mygame"}, arena.Game, &out, &out, nil)}
	if err := x.text(tailRecord{Seq: 5, Epoch: 1, Bytes: 300, Ticks: ticks}); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"5 ticks 9-11 epoch 1 checksum c11 300 B",
		"5 tick 12 epoch 1 checksum c12 300 B 2 move",
		"5 tick 13 epoch 1 checksum c13 300 B",
		"5 tick 14 epoch 1 checksum c14 300 B",
		"failure: walk: no way",
		"5 tick 15 epoch 1 checksum c15 300 B",
		"5 tick 16 epoch 1 checksum c16 300 B",
		"5 tick 17 epoch 1 checksum c17 300 B",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("it prints\n%s", out.String())
	}
}
