package clock

import (
	"time"

	"github.com/ferris1/wind/ecs"
)

const cooldown = 250 * time.Millisecond // a constant is not a clock

func Setup(w *ecs.World) {
	ecs.System(w, "shoot", shoot)
	ecs.Init(w, func(t *ecs.Tick) {
		time.Sleep(cooldown) // want `time.Sleep reads or waits for wall time: count ticks with Tick.Now and Tick.Rate`
	})
}

func shoot(t *ecs.Tick) {
	start := time.Now()               // want `time.Now reads or waits for wall time`
	if time.Since(start) > cooldown { // want `time.Since reads or waits for wall time`
		return
	}
	_ = start.After(start) // compares two values
}

func NotReached() time.Time { return time.Now() } // want NotReached:`impure: time.Now`
