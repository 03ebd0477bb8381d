package intake

import "github.com/ferris1/wind/ecs"

// Batch collects the commands of one tick, within the tick's room.
type Batch struct {
	Tick     uint64
	Commands []ecs.Command
	Left     int // bytes of the room
}

// Fits reports whether the tick has room for c.
func (b *Batch) Fits(c *ecs.Command) bool { return c.Weight() <= b.Left }

// Add appends c, which must fit.
func (b *Batch) Add(c ecs.Command) {
	b.Left -= c.Weight()
	b.Commands = append(b.Commands, c)
}

// inputOverhead is how many bytes, at most, an input adds to a record besides its
// payload: records encode inputs against those of the tick before.
const inputOverhead = 4

// LogBytes returns about how many bytes a command adds to the log: what its sender
// is charged for. A repeated input adds next to nothing.
func LogBytes(c *ecs.Command, sampled bool) int {
	switch {
	case c.Flags&ecs.FlagRepeated != 0:
		return 0
	case sampled:
		return len(c.Payload) + inputOverhead
	}
	return c.Weight()
}
