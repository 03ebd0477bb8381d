package client

import "github.com/ferris1/wind/ecs"

// Bot plays a client.
type Bot interface {
	// Play decides what to do at tick, which the client's clock has just
	// reached. It is called on the client's own goroutine, once per tick in
	// ascending order (ticks are skipped when the clock jumps, and come again
	// after a resume at a node whose log ends before them), and must not
	// call the client's methods. v is valid until it returns; the answer may
	// be used again by the next call.
	Play(v *View, tick uint64) []Action
}

// Action is a command with its value: sampled ones become the input for a
// tick, the others reliable commands.
type Action struct {
	command string
	value   []byte // packed
}

// Do makes an Action of the command that the game registered under name, with
// a value of the registered type. A wrong name or type shows when it is sent. It
// panics when C is no struct that could be registered.
func Do[C any](name string, v C) Action {
	c := codecOf[C]()
	if c == nil {
		return Action{command: name, value: ecs.PackValue(nil, v)} // it says what is wrong
	}
	return Action{command: name, value: c.Append(nil, &v)}
}

// DoPacked is Do for a value that is packed already (ecs.Codec); packed must
// not be changed any more.
func DoPacked(name string, packed []byte) Action { return Action{command: name, value: packed} }
