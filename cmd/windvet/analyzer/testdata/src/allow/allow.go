package allow

import (
	"time"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "excuses", excuses); ecs.System(w, "whole", whole) }

func excuses(t *ecs.Tick) {
	time.Now() //windvet:allow measured, never stored
	//windvet:allow measured, never stored
	time.Now()
	time.Now() // want `time.Now reads`
	time.Now() //windvet:allow // want `windvet:allow excuses nothing without a reason` `time.Now reads`
	time.Now() //windvet:allowed is another word // want `time.Now reads`
}

// whole is excused as a whole.
//
//windvet:allow a probe that only the profiler build runs
func whole(t *ecs.Tick) {
	time.Now()
	time.Now()
}
