package ecs

import "sync/atomic" //windvet:allow other goroutines look at what runs; no tick does

// running names the function of the game that a step runs, for other goroutines.
type running struct{ call atomic.Pointer[call] }

// Running returns what the world's current step runs: "system move", "command steer" or "init"; "" between two steps and outside
// the game's functions. Unlike all other methods of World it may be called from any goroutine at any time: a step that does not
// end cannot say so itself.
func (w *World) Running() string {
	if c := w.running.call.Load(); c != nil {
		return c.what
	}
	return ""
}
