package cmd

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much the heap may grow before a collection, in percent of its live bytes. If GOGC is set, it prevails.
const (
	usualGC   = 100
	relaxedGC = 400
	leanGC    = 15
)

// relaxGC is for a gateway or a service. They hold little and allocate for every request: Go's usual factor of two costs a fifth of
// their throughput.
func relaxGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(relaxedGC)
	}
}

const (
	gcLook   = 250 * time.Millisecond
	gcLooks  = 20    // that make one judgement of what the growth costs
	gcRare   = 0.002 // of the processors' time, at the usual growth: collections seven times as often still cost little
	gcCostly = 0.015 // at the lean growth
	gcBurst  = 8     // judgements: making a few thousand rooms is no reason
	gcMany   = 16    // rooms that wait to go on
)

// hosting is what the collector is told of a node's rooms.
type hosting struct {
	any       bool // the node has rooms, or is for rooms alone
	returning int  // rooms that it takes over from a node that has died
}

// collector chooses the growth of a node's heap. A node with many idle rooms holds much and allocates little, so that frequent
// collections cost little and save half of the memory. While it takes over the rooms of another, they would cost it a third of its time.
type collector struct {
	growth int // while it takes none over

	looks  int
	sum    float64 // of their shares
	costly int     // judgements in a row at which the lean growth cost too much
}

// look is told of the node's rooms, and what collections have taken of the processors since the last look.
func (c *collector) look(rooms hosting, share float64) (growth int) {
	c.sum += share
	if c.looks++; c.looks == gcLooks {
		c.judge(rooms.any, c.sum/gcLooks)
		c.looks, c.sum = 0, 0
	}
	if rooms.returning >= gcMany {
		return usualGC
	}
	return c.growth
}

// judge is told what collections have taken of the processors lately.
func (c *collector) judge(rooms bool, share float64) {
	if c.costly++; c.growth != leanGC || share <= gcCostly {
		c.costly = 0
	}
	switch {
	case !rooms || c.costly >= gcBurst:
		c.growth = usualGC
	case c.growth == usualGC && share < gcRare:
		c.growth = leanGC
	}
}

// tuneGC adapts the growth to what collections cost, until ctx ends. alone says that the node is for rooms alone.
func tuneGC(ctx context.Context, alone bool, rooms func() hosting) {
	if os.Getenv("GOGC") != "" {
		return
	}
	c := collector{growth: usualGC}
	if alone {
		c.growth = leanGC
	}
	growth := c.growth
	debug.SetGCPercent(growth)
	look := time.NewTicker(gcLook)
	defer look.Stop()
	defer debug.SetGCPercent(usualGC)
	for spent, at := collecting(), time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case t := <-look.C:
			more := collecting()
			share := (more - spent) / (t.Sub(at).Seconds() * float64(runtime.GOMAXPROCS(0)))
			spent, at = more, t
			has := rooms()
			has.any = has.any || alone
			if now := c.look(has, share); now != growth {
				growth = now
				debug.SetGCPercent(growth)
			}
		}
	}
}

// collecting returns the seconds of processor time that collections have taken, those apart that nobody else wanted.
func collecting() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64()
}
