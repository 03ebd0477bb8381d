package arena

import "github.com/ferris1/wind/ecs"

// pace converts the speeds and times of this package, which are per tick of 1/30 s, to those of a world with another tick
// rate.
type pace struct{ rate int }

func paceOf(w *ecs.World) pace { return pace{w.Game().TickRate} }

// speed converts metres per tick.
func (p pace) speed(v float64) float64 { return float64(v * (TickRate / float64(p.rate))) }

// ticks converts a number of ticks. It returns at least 1.
func (p pace) ticks(n uint64) uint64 {
	return max((n*uint64(p.rate)+TickRate/2)/TickRate, 1)
}
