package fleet

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
)

// Wanderer returns a constructor of bots for a game without its own. In every tick a bot sends each sampled command of
// the game with new small random values that pass the command's Validate.
func Wanderer(game ecs.Game) func(seed uint64) client.Bot {
	return func(seed uint64) client.Bot {
		w := &wanderer{random: rand.New(rand.NewPCG(seed, 0))}
		// The bot's own world, with one joined session, validates the commands.
		if world, err := ecs.New(game, ecs.Config{}); err == nil {
			world.Step(ecs.Frame{Tick: 1, Commands: []ecs.Command{ecs.NewCommand(world, wandererSource, 1, ecs.Join{})}})
			w.world = world
		}
		return w
	}
}

var wandererSource = ecs.Source{Kind: ecs.SourceClient, ID: 1}

type wanderer struct {
	random  *rand.Rand
	world   *ecs.World
	actions []client.Action
	seq     uint64
}

// Play implements client.Bot.
func (w *wanderer) Play(_ *client.View, _ uint64) []client.Action {
	w.actions = w.actions[:0]
	if w.world == nil {
		return nil
	}
	for kind := range w.world.Schema().Commands {
		t := &w.world.Schema().Commands[kind]
		if !t.Sampled {
			continue
		}
		for range 10 { // retry until the values are valid
			w.seq++
			c := ecs.Command{Kind: uint16(kind), Source: wandererSource, Seq: w.seq, Payload: w.value(t)}
			if w.world.Validate(&c) == nil {
				w.actions = append(w.actions, client.DoPacked(t.Name, c.Payload))
				break
			}
		}
	}
	return w.actions
}

// value draws a small random number for every field.
func (w *wanderer) value(t *ecs.Type) []byte {
	b := make([]byte, t.Packed)
	for i := range t.Fields {
		f := &t.Fields[i]
		for k := range f.Count {
			w.field(f.Kind, b[f.PackedOffset+k*f.Width:][:f.Width])
		}
	}
	return b
}

func (w *wanderer) field(kind ecs.FieldKind, b []byte) {
	switch kind {
	case ecs.KindF32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(w.random.Float32()*2-1))
	case ecs.KindF64:
		binary.LittleEndian.PutUint64(b, math.Float64bits(w.random.Float64()*2-1))
	case ecs.KindBool, ecs.KindU8, ecs.KindU16, ecs.KindU32, ecs.KindU64:
		b[0] = byte(w.random.IntN(2))
	case ecs.KindI8, ecs.KindI16, ecs.KindI32, ecs.KindI64:
		v := w.random.IntN(3) - 1
		for i := range b { // little-endian, sign extended
			b[i] = byte(v >> (8 * min(i, 7)))
		}
	}
}
