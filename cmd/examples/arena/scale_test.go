package arena

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// crowd returns a match of n players and monsters in which the players shoot around them, and the frames of 256 ticks.
func crowd(t testing.TB, players int, monsters int32, size float64) (*match, [][]ecs.Command) {
	m := newMatch(t, Options{Monsters: monsters, Size: size, Respawn: 1, TickRate: TickRate}, players)
	r := rand.New(rand.NewPCG(1, 1))
	frames := make([][]ecs.Command, 256)
	for i := range frames {
		for s := range players {
			in := Input{MoveX: int8(r.IntN(201) - 100), MoveY: int8(r.IntN(201) - 100), Aim: Angle(r.IntN(65536)), Fire: true}
			frames[i] = append(frames[i], m.from(uint64(s+1), in))
		}
	}
	for i := range 600 {
		m.step(frames[i%len(frames)]...)
	}
	return m, frames
}

func TestABusyArenaAllocatesNothing(t *testing.T) {
	m, frames := crowd(t, 50, 200, 200)
	var delta []byte
	tick := func() {
		f := ecs.Frame{Tick: m.Tick() + 1}
		f.Commands = frames[f.Tick%uint64(len(frames))]
		delta = m.Step(f).Delta.AppendTo(delta[:0])
	}
	for range 3000 { // until arrays and tables have reached their final size
		tick()
	}
	if n := testing.AllocsPerRun(300, tick); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
	if s := ecs.ResourceOf[Score](m.World); s.Monsters == 0 || s.Players == 0 || m.Checksum() != m.Recompute() {
		t.Errorf("not a busy arena: %+v", s)
	}
}

// BenchmarkArena measures a whole tick of the game: commands, systems, change detection, delta, checksum.
func BenchmarkArena(b *testing.B) {
	for _, c := range []struct {
		players  int
		monsters int32
		size     float64
	}{{50, 200, 200}, {50, 10_000, 1400}, {500, 10_000, 1400}} {
		b.Run(fmt.Sprintf("players=%d/monsters=%d", c.players, c.monsters), func(b *testing.B) {
			m, frames := crowd(b, c.players, c.monsters, c.size)
			b.ReportAllocs()
			for b.Loop() {
				f := ecs.Frame{Tick: m.Tick() + 1}
				f.Commands = frames[f.Tick%uint64(len(frames))]
				m.Step(f)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/tick")
		})
	}
}
