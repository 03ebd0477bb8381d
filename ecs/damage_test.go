package ecs_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// damage changes, inserts and removes a few bytes.
func damage(r *rand.Rand, b []byte) []byte {
	c := append([]byte(nil), b...)
	for range 1 + r.IntN(4) {
		if len(c) == 0 {
			break
		}
		i := r.IntN(len(c))
		switch r.IntN(5) {
		case 0:
			c[i] = byte(r.IntN(256))
		case 1:
			c[i] ^= 1 << r.IntN(8)
		case 2:
			c = append(c[:i], c[i+1:]...)
		case 3:
			c = append(c[:i], append([]byte{byte(r.IntN(256))}, c[i:]...)...)
		case 4: // a number that is too large
			for k := i; k < min(i+9, len(c)); k++ {
				c[k] = 0xFF
			}
		}
	}
	return c
}

// TestDamagedBytesAreRefusedOrUsable damages snapshots and deltas at random. If only the checksum reveals the damage,
// the test corrects the checksum, so that the parser alone protects the world.
func TestDamagedBytesAreRefusedOrUsable(t *testing.T) {
	r := rand.New(rand.NewPCG(historySeed(t), 2))
	delta, snapshot := read(t, "delta-3.bin"), read(t, "snapshot-3.bin")
	usable := 0
	for range 1500 {
		var wrong *ecs.ChecksumError
		b := damage(r, delta)
		if err := fuzzWorld(t).Apply(b); errors.As(err, &wrong) {
			_, n := binary.Uvarint(b)
			binary.LittleEndian.PutUint64(b[n:], wrong.Got)
			w := fuzzWorld(t)
			if err := w.Apply(b); err != nil {
				t.Fatal(err)
			}
			alive(t, w)
			usable++
		}
		b = damage(r, snapshot)
		if _, err := ecs.Restore(chaos, b); errors.As(err, &wrong) {
			binary.LittleEndian.PutUint64(b[5:], wrong.Got)
			w, err := ecs.Restore(chaos, b)
			if err != nil {
				t.Fatal(err)
			}
			if w.Tick() < 1<<63 {
				alive(t, w)
			}
			usable++
		}
	}
	if usable < 100 {
		t.Errorf("only %d damaged inputs passed the parser", usable)
	}
}

// TestDamagedGivingBackIsRefusedOrUsable damages deltas that give tables back, and snapshots of worlds that have done
// so.
func TestDamagedGivingBackIsRefusedOrUsable(t *testing.T) {
	defer ecs.SetTableLimits(64, 0)()
	seed := historySeed(t)
	r := rand.New(rand.NewPCG(seed, 3))
	h, err := newHistory(seed)
	if err != nil {
		t.Fatal(err)
	}
	given, usable := 0, 0
	for given < 8 && h.leader.Tick() < 2000 {
		before := h.leader.AppendSnapshot(nil)
		tables := len(h.leader.Tables())
		f := h.frame()
		delta := h.leader.Step(f).Delta.AppendTo(nil)
		if len(h.leader.Tables()) >= tables {
			continue
		}
		given++
		for range 60 {
			b := delta
			for len(b) == len(delta) && string(b) == string(delta) {
				b = damage(r, delta)
			}
			w, err := ecs.Restore(chaos, before)
			if err != nil {
				t.Fatal(err)
			}
			var wrong *ecs.ChecksumError
			if err = w.Apply(b); errors.As(err, &wrong) {
				_, n := binary.Uvarint(b)
				binary.LittleEndian.PutUint64(b[n:], wrong.Got)
				if w, err = ecs.Restore(chaos, before); err != nil {
					t.Fatal(err)
				}
				err = w.Apply(b)
			}
			if err == nil {
				alive(t, w)
				usable++
			}
		}
	}
	if given < 8 || usable < 10 {
		t.Errorf("tables were given back %d times, %d damaged deltas passed the parser", given, usable)
	}
}

// TestTablesAreGivenBackAtTheEndOnly: elsewhere, the operation would be cheap for a hostile delta and expensive for its
// reader.
func TestTablesAreGivenBackAtTheEndOnly(t *testing.T) {
	empty := func() (*ecs.World, []byte) {
		w := small(t, func(w *ecs.World) {
			ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[marked], b *ecs.Spawner[both]) { s.New(marked{}); b.New(both{}) })
			ecs.System(w, "end", func(t *ecs.Tick, q *ecs.Query[struct {
				Self ecs.Entity
				T    *twin
			}],
			) {
				for v := range q.Each {
					t.Despawn(v.Self)
				}
			})
		})
		return w, w.Step(frame(w)).Delta.AppendTo(nil)
	}
	w, _ := empty()
	if w.Uninhabited() != 1 {
		t.Fatalf("%d tables are empty", w.Uninhabited())
	}
	delta := func(count byte, ops ...byte) []byte {
		b := binary.LittleEndian.AppendUint64([]byte{2}, 0) // tick, checksum
		b = append(b, 0, count, byte(len(ops)))             // no new tables
		b = append(b, ops...)
		return append(b, 0, 0, 0) // sessions, resources, components
	}
	for says, b := range map[string][]byte{
		"the checksum is":       delta(1, 5, 0),
		"before the end":        delta(2, 5, 0, 5, 0),
		"or needlessly":         delta(1, 5, 7),
		"moves to a table that": delta(1, 3, 1, 0),
		"unknown operation 4":   delta(1, 4, 1),
	} {
		w, _ := empty()
		if err := w.Apply(b); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%x: %v, want %q", b, err, says)
		}
	}
}
