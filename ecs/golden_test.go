package ecs_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ferris1/wind/ecs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGoldenBytes pins the formats of FORMAT.md, the checksum and the random numbers, with a world of three ticks that
// contains everything.
func TestGoldenBytes(t *testing.T) {
	w, err := ecs.New(chaos, ecs.Config{Seed: 42})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", w.Schema().JSON())
	frames := []ecs.Frame{
		{Tick: 1, Commands: []ecs.Command{
			ecs.NewCommand(w, client(7), 1, ecs.Join{Identity: ecs.NewText64("ada"), ResumeHash: [16]byte{1, 2, 3}}),
			ecs.NewCommand(w, client(9), 1, ecs.Join{Identity: ecs.NewText64("bob")}),
		}},
		{Tick: 2, Commands: []ecs.Command{
			ecs.NewCommand(w, client(7), 1, Push{Force: 3}),
			ecs.NewCommand(w, client(9), 1, Push{Force: 4, Up: true}),
			ecs.NewCommand(w, client(7), 2, Poke{What: 3, Name: ecs.NewText16("x")}),
			ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator}, 1, Quake{5}),
		}},
		{Tick: 3, Commands: []ecs.Command{
			ecs.NewCommand(w, client(7), 2, Push{Force: 3}),
			ecs.NewCommand(w, client(9), 9, Push{Force: 5, Up: true}),
			ecs.NewCommand(w, client(9), 2, Poke{What: 0}),
			ecs.NewCommand(w, client(7), 3, ecs.Leave{}),
		}},
	}
	for _, f := range frames {
		w.Order(f.Tick, f.Commands)
		name := string('0' + rune(f.Tick))
		golden(t, "frame-"+name+".bin", w.AppendFrame(nil, f))
		golden(t, "delta-"+name+".bin", w.Step(f).Delta.AppendTo(nil))
	}
	golden(t, "snapshot-3.bin", w.AppendSnapshot(nil))
	f := neutralFrame(w)
	golden(t, "frame-4.bin", w.AppendFrame(nil, f))
	golden(t, "delta-4.bin", w.Step(f).Delta.AppendTo(nil))
}

// neutralFrame is tick 4 of the golden world: session 9 has been silent for too long.
func neutralFrame(w *ecs.World) ecs.Frame {
	c := ecs.NewCommand(w, client(9), 9, Push{})
	c.Flags = ecs.FlagRepeated | ecs.FlagNeutral
	return ecs.Frame{Tick: 4, Commands: []ecs.Command{c}}
}

// TestGoldenBytesAreRead reads the golden files, which an earlier build wrote.
func TestGoldenBytesAreRead(t *testing.T) {
	w, err := ecs.New(chaos, ecs.Config{Seed: 42})
	if err != nil {
		t.Fatal(err)
	}
	var f ecs.Frame
	for _, tick := range []string{"1", "2", "3"} {
		if err := w.DecodeFrame(read(t, "frame-"+tick+".bin"), &f); err != nil {
			t.Fatal(err)
		}
		if err := w.Apply(read(t, "delta-"+tick+".bin")); err != nil {
			t.Fatal(err)
		}
	}
	restored, err := ecs.Restore(chaos, read(t, "snapshot-3.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if restored.Checksum() != w.Checksum() {
		t.Errorf("the snapshot gives %016x, the deltas %016x", restored.Checksum(), w.Checksum())
	}
	if err := w.DecodeFrame(read(t, "frame-4.bin"), &f); err != nil || !reflect.DeepEqual(f, neutralFrame(w)) {
		t.Errorf("frame 4 is read as %+v, %v", f, err)
	}
	s, err := ecs.ParseSchema(read(t, "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Hash() != w.Schema().Hash() {
		t.Error("the schema's hash differs")
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, read(t, name)) {
		t.Errorf("%s differs (-update rewrites it; then change the format version)", path)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
