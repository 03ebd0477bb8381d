package ecs_test

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestOrderIsWhatThePageSays sorts commands as FORMAT.md describes it, from the page's formulas alone, and compares.
func TestOrderIsWhatThePageSays(t *testing.T) {
	mum := func(a, b uint64) uint64 { hi, lo := bits.Mul64(a, b); return hi ^ lo }
	const k0, k1, k2, k3 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB
	rng := rand.New(rand.NewPCG(1, 2))
	const seed = 0xfeedfacecafebeef
	w, err := ecs.New(ecs.Game{Name: "empty", TickRate: 30, Setup: func(*ecs.World) {}}, ecs.Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for tick := range uint64(50) {
		var commands []ecs.Command
		for range 60 {
			commands = append(commands, ecs.Command{
				Kind: uint16(rng.IntN(3)), Seq: rng.Uint64N(3), Flags: uint8(rng.IntN(2)), Payload: []byte{byte(rng.IntN(3))},
				Source: ecs.Source{Kind: ecs.SourceKind(rng.IntN(5)), ID: rng.Uint64N(20)},
			})
		}
		key := mum(seed^k0, tick^k1)
		turn := func(id uint64) uint64 { return mum(mum(id^k2, key^k3)^key, k0) }
		want := slices.Clone(commands)
		slices.SortStableFunc(want, func(a, b ecs.Command) int {
			order := func(c ecs.Command) []uint64 {
				return []uint64{uint64(c.Source.Kind), turn(c.Source.ID), c.Source.ID, c.Seq, uint64(c.Kind), uint64(c.Flags)}
			}
			if c := slices.Compare(order(a), order(b)); c != 0 {
				return c
			}
			return bytes.Compare(a.Payload, b.Payload)
		})
		w.Order(tick, commands)
		for i := range want {
			if a, b := commands[i], want[i]; a.Source != b.Source || a.Seq != b.Seq || a.Kind != b.Kind || a.Flags != b.Flags || !bytes.Equal(a.Payload, b.Payload) {
				t.Fatalf("tick %d: command %d is %+v, the page says %+v", tick, i, a, b)
			}
		}
	}
}
