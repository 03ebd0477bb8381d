// Package directive is simulation as a whole.
package directive

//wind:simulation

import (
	"math"
	"sync" // want `a simulation package imports sync, which is for concurrent code`
	"time" // want `a simulation package imports time, which reads or waits for wall time: count ticks`
)

type guarded struct {
	mu   sync.Mutex
	wait time.Duration
}

var start = time.Now()

func unreached() float64 { return math.Exp(1) } // want `math.Exp gives different bits on different CPUs: use detmath.Exp`

func stale() int {
	return 1 //windvet:allow nothing is wrong here // want `windvet:allow excuses nothing here: remove it`
}
