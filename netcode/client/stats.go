package client

import (
	"math"
	"sync/atomic"
	"time"
)

// Stats counts what a client has done and seen so far.
type Stats struct {
	BytesIn, BytesOut uint64 // UDP payload or TCP stream
	Updates           uint64 // update messages
	Events            uint64 // events, not messages
	Inputs            uint64 // samples sent
	InputsAgain       uint64 // samples repeated on the datagram lane
	Commands          uint64 // reliable commands sent, without repeats
	Replies           uint64
	Waits             uint64 // Wait messages: the server had no room in a tick
	Drops             uint64 // lost connections
	Resumes           uint64 // resumed sessions
	Rejoins           uint64 // sessions begun after an earlier one was over

	Corrections        uint64 // updates that contradicted what the client had predicted
	VisibleCorrections uint64 // those that moved its entity by more than Visible

	LastTick uint64        // newest tick seen
	Slack    float64       // how many ticks early inputs arrive, smoothed
	Speed    float64       // of the clock; 1 is the server's rate
	RTT      time.Duration // of the last ping
	Loss     float64       // recent share of segments that the reliable lane over UDP repeated
}

// counters holds the running values of Stats: the client's goroutine writes them,
// any goroutine may read.
type counters struct {
	bytesIn, bytesOut, updates, events, inputs, again, commands, replies, waits atomic.Uint64
	drops, resumes, rejoins, lastTick, slack, speed, rtt, loss                  atomic.Uint64
	corrections, visibleCorrections                                             atomic.Uint64
}

func (c *counters) count(in, out int) {
	c.bytesIn.Add(uint64(in))
	c.bytesOut.Add(uint64(out))
}

func (c *counters) saw(tick uint64) {
	if tick > c.lastTick.Load() {
		c.lastTick.Store(tick)
	}
}

// Stats returns the client's statistics so far.
func (c *Client) Stats() Stats {
	n := &c.counters
	return Stats{
		BytesIn: n.bytesIn.Load(), BytesOut: n.bytesOut.Load(),
		Updates: n.updates.Load(), Events: n.events.Load(), Inputs: n.inputs.Load(), InputsAgain: n.again.Load(),
		Commands: n.commands.Load(), Replies: n.replies.Load(), Waits: n.waits.Load(),
		Drops: n.drops.Load(), Resumes: n.resumes.Load(), Rejoins: n.rejoins.Load(),
		Corrections: n.corrections.Load(), VisibleCorrections: n.visibleCorrections.Load(),
		LastTick: n.lastTick.Load(), Slack: math.Float64frombits(n.slack.Load()),
		Speed: math.Float64frombits(n.speed.Load()), RTT: time.Duration(n.rtt.Load()), Loss: math.Float64frombits(n.loss.Load()),
	}
}
