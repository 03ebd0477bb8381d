package script_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

// FuzzWorld runs any body as a system and checks that the world keeps its promises.
func FuzzWorld(f *testing.F) {
	f.Add("q = query('health', without=['dead'])\nq.add('health.HP', -1, min=0)\nq.where('health.HP', '==', 0).despawn()")
	f.Add("for e in query('position').entities(3):\n  e.put('dead')\n  e.remove('position')\n  emit('hit', {'Who': e})")
	f.Add("e = spawn({'arena.mixed': {'Name': 'x', 'Slots': [{'Item': 3}], 'List': [1], 'Who': None}})\ntick.control(3, e)\ndespawn(e)")
	f.Add("resource('score').add('best.HP', 1 << 62)\nquery('arena.mixed').mul('arena.mixed.U64', -1.5)\nquery('arena.mixed').copy('arena.mixed.I8', 'arena.mixed.F32')")
	f.Add("r = tick.rand()\nfor i in range(9):\n  spawn({'position': {'X': r.range(0, 9)}, 'velocity': {'Y': math.sin(r.float())}})\nquery('position').sum('position.X')")
	const waves = "def system_waves(tick):\n  for i in range(3):\n    spawn({'health': {'HP': i}, 'position': {'X': 1.5}, 'velocity': {}})\n  spawn({'arena.mixed': {'Name': 'ada'}, 'dead': {}})\n"
	f.Fuzz(func(t *testing.T, body string) {
		source := waves + "def system_move(tick):\n  " + strings.ReplaceAll(body, "\n", "\n  ") + "\n"
		live, follower := newWorld(t), newWorld(t)
		commands, err := script.Commands(live, operator, 1, []script.Module{{Name: "a.star", Source: []byte(source)}}, 5_000)
		if err != nil {
			if strings.Contains(err.Error(), "panics") {
				t.Fatal(err)
			}
			return
		}
		for range 3 {
			o := step(live, commands...)
			if f := failure(o); strings.Contains(f, "panics") || strings.Contains(f, "nil pointer") {
				t.Fatal(f)
			}
			if live.Recompute() != o.Checksum {
				t.Fatal("a change was not seen")
			}
			if err := follower.Apply(o.Delta.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			commands = nil
		}
		again, err := ecs.Restore(arena(), live.AppendSnapshot(nil))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := step(live), step(again); a.Checksum != b.Checksum || failure(a) != failure(b) {
			t.Fatalf("a restored world diverges: %s, %s", failure(a), failure(b))
		}
	})
}
