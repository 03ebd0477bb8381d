package ecs_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// Everything from outside yields an error or a usable value, never a panic.

// fuzzWorld is a world at tick 2 of the golden history, with sessions and entities.
func fuzzWorld(tb testing.TB) *ecs.World {
	w, err := ecs.New(chaos, ecs.Config{Seed: 42})
	if err != nil {
		tb.Fatal(err)
	}
	for _, tick := range []string{"1", "2"} {
		if err := w.Apply(read(tb, "delta-"+tick+".bin")); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// seeds adds real bytes: whole, cut and damaged.
func seeds(f *testing.F, name string) {
	b := read(f, name)
	f.Add(b)
	for _, n := range []int{0, 1, 5, len(b) / 2, len(b) - 1} {
		f.Add(b[:n])
	}
	for i := 0; i < len(b); i += 1 + len(b)/40 {
		c := append([]byte(nil), b...)
		c[i] ^= 0x81
		f.Add(c)
	}
	f.Add(append(append([]byte(nil), b...), 0))
}

func FuzzApply(f *testing.F) {
	seeds(f, "delta-3.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		w := fuzzWorld(t)
		if err := w.Apply(b); err != nil {
			if !errors.Is(err, ecs.ErrPoisoned) || w.Err() == nil || w.Apply(read(t, "delta-3.bin")) == nil {
				t.Fatal("the world is not poisoned after an error")
			}
			w.Recompute() // reading must still be safe
			for range w.EachSession {
			}
			return
		}
		if w.Checksum() != w.Recompute() {
			t.Fatal("the checksum does not match the world")
		}
		alive(t, w)
	})
}

func FuzzRestore(f *testing.F) {
	seeds(f, "snapshot-3.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ecs.Restore(chaos, b)
		if err != nil {
			return
		}
		if w.Checksum() != w.Recompute() {
			t.Fatal("the checksum does not match the world")
		}
		if w.Tick() < 1<<63 {
			alive(t, w)
		}
	})
}

// FuzzRestoreBehindTheChecksum passes damage to the parser that a wrong checksum would otherwise hide: it corrects the
// checksum to the one that Restore computes.
func FuzzRestoreBehindTheChecksum(f *testing.F) {
	seeds(f, "snapshot-3.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		var wrong *ecs.ChecksumError
		_, err := ecs.Restore(chaos, b)
		if !errors.As(err, &wrong) {
			return
		}
		b = append([]byte(nil), b...)
		binary.LittleEndian.PutUint64(b[5:], wrong.Got)
		w, err := ecs.Restore(chaos, b)
		if err != nil {
			t.Fatal(err)
		}
		if w.Checksum() != w.Recompute() {
			t.Fatal("the checksum does not match the world")
		}
		if w.Tick() < 1<<63 {
			alive(t, w)
		}
	})
}

// FuzzApplyBehindTheChecksum does the same for deltas.
func FuzzApplyBehindTheChecksum(f *testing.F) {
	seeds(f, "delta-3.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		var wrong *ecs.ChecksumError
		if err := fuzzWorld(t).Apply(b); !errors.As(err, &wrong) {
			return
		}
		b = append([]byte(nil), b...)
		_, n := binary.Uvarint(b)
		binary.LittleEndian.PutUint64(b[n:], wrong.Got)
		w := fuzzWorld(t)
		if err := w.Apply(b); err != nil {
			t.Fatal(err)
		}
		if w.Checksum() != w.Recompute() {
			t.Fatal("the checksum does not match the world")
		}
		alive(t, w)
	})
}

// alive checks that a world can continue.
func alive(t *testing.T, w *ecs.World) {
	if _, err := ecs.Restore(chaos, w.AppendSnapshot(nil)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if o := step(w); o.Checksum != w.Recompute() {
			t.Fatal("the checksum does not match the world")
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	seeds(f, "frame-3.bin")
	w := fuzzWorld(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame, again ecs.Frame
		if err := w.DecodeFrame(b, &frame); err != nil {
			if len(frame.Commands) > 0 {
				t.Fatal("a frame that failed to decode has commands")
			}
			return
		}
		// A decoded frame can be encoded, decoded again and stepped.
		for i := range frame.Commands {
			frame.Commands[i].Payload = append([]byte(nil), frame.Commands[i].Payload...)
		}
		if err := w.DecodeFrame(w.AppendFrame(nil, frame), &again); err != nil {
			t.Fatal(err)
		}
		if len(again.Commands) != len(frame.Commands) {
			t.Fatalf("%d commands became %d", len(frame.Commands), len(again.Commands))
		}
		if o := fuzzWorld(t).Step(frame); o.Tick != frame.Tick {
			t.Fatal("no step")
		}
	})
}

func FuzzValidate(f *testing.F) {
	w := fuzzWorld(f)
	for kind := range w.Schema().Commands {
		f.Add(uint16(kind), uint8(4), uint64(9), uint64(5), uint8(0), make([]byte, w.Schema().Commands[kind].Packed))
		f.Add(uint16(kind), uint8(0), uint64(0), uint64(0), uint8(1), []byte{0xFF, 0x80})
	}
	f.Fuzz(func(t *testing.T, kind uint16, source uint8, id, seq uint64, flags uint8, payload []byte) {
		c := ecs.Command{Kind: kind, Source: ecs.Source{Kind: ecs.SourceKind(source), ID: id}, Seq: seq, Flags: flags, Payload: payload}
		err := w.Validate(&c)
		o := fuzzWorld(t).Step(ecs.Frame{Tick: w.Tick() + 1, Commands: []ecs.Command{c}})
		invalid := len(o.Failures) > 0 && o.Failures[0].Command == 0 && !o.Failures[0].Rejected && o.Failures[0].Reason[:min(6, len(o.Failures[0].Reason))] != "panic:"
		if invalid != (err != nil) {
			t.Fatalf("Validate says %v, Step %+v", err, o.Failures)
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	f.Add(read(f, "schema.json"))
	f.Add([]byte(`{"components":[{"name":"a","size":8,"packed":8,"fields":[{"path":"X","kind":"f64","count":1,"width":8}]}]}`))
	f.Add([]byte(`{"components":[{"size":-1,"packed":9,"fields":[{"kind":"text","count":3,"width":3,"packed_offset":1}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ecs.ParseSchema(b)
		if err != nil {
			return
		}
		for _, list := range [][]ecs.Type{s.Components, s.Resources, s.Events, s.Commands, s.Outgoing} {
			for i := range list {
				_ = list[i].Format(make([]byte, list[i].Packed))
			}
		}
		s.Hash()
	})
}

func FuzzDecodeOptions(f *testing.F) {
	f.Add([]byte(`{"bodies":3,"title":"t"}`))
	f.Add([]byte(`{"bodies":3} x`))
	f.Add([]byte(`{"bodies":3.5}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := chaos.DecodeOptions(b)
		if err != nil {
			return
		}
		canonical, err := chaos.EncodeOptions(v)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := chaos.DecodeOptions(canonical); err != nil || again != v {
			t.Fatalf("%v became %v, %v", v, again, err)
		}
	})
}
