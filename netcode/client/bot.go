package client

import "github.com/ferris1/wind/ecs"

// Bot controls a client.
type Bot interface {
	// Play returns the actions for tick, which the client's clock has just
	// reached. The client calls it on its own goroutine, once per tick in
	// ascending order. It skips ticks when the clock jumps, and repeats ticks
	// after a resume at a node whose log ends before them. Play must not call
	// the client's methods. v is valid until Play returns; the next call may
	// reuse the returned slice.
	Play(v *View, tick uint64) []Action
}

// Action is a command with its value. A sampled command becomes the input for a
// tick, any other a reliable command.
type Action struct {
	command string
	value   []byte // packed
}

// Do returns an Action for the command that the game registered under name; v must
// have the registered type. A wrong name or type is an error when the action is
// sent. Do panics if C is not a struct that a game could register.
func Do[C any](name string, v C) Action {
	c := codecOf[C]()
	if c == nil {
		return Action{command: name, value: ecs.PackValue(nil, v)} // panics with the reason
	}
	return Action{command: name, value: c.Append(nil, &v)}
}

// DoPacked is like Do for a packed value (ecs.Codec). The caller must not change
// packed afterwards.
func DoPacked(name string, packed []byte) Action { return Action{command: name, value: packed} }
