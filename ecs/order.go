package ecs

import (
	"bytes"
	"cmp"
	"slices"
)

// Order sorts commands for the frame of a tick: by kind of source, then by a keyed hash of tick and source, so that no
// source always comes first, then by the source's own sequence numbers. The result depends only on the world's seed,
// the tick and the commands. Order allocates nothing.
func (w *World) Order(tick uint64, commands []Command) {
	key := mum(w.seed^k0, tick^k1)
	slices.SortStableFunc(commands, func(a, b Command) int { return compareCommands(key, &a, &b) })
}

// ordered reports whether Order would leave the commands as they are.
func (w *World) ordered(tick uint64, commands []Command) bool {
	key := mum(w.seed^k0, tick^k1)
	for i := 1; i < len(commands); i++ {
		if compareCommands(key, &commands[i-1], &commands[i]) > 0 {
			return false
		}
	}
	return true
}

// turn returns a source's sort key within a tick. A single mum is not uniform for small ids: it favours some of them.
func turn(key, id uint64) uint64 { return mum(mum(id^k2, key^k3)^key, k0) }

// compareCommands is a total order: only equal commands compare equal.
func compareCommands(key uint64, a, b *Command) int {
	if a.Source != b.Source {
		if c := cmp.Compare(a.Source.Kind, b.Source.Kind); c != 0 {
			return c
		}
		if c := cmp.Compare(turn(key, a.Source.ID), turn(key, b.Source.ID)); c != 0 {
			return c
		}
		if c := cmp.Compare(a.Source.ID, b.Source.ID); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(a.Seq, b.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Flags, b.Flags); c != 0 {
		return c
	}
	return bytes.Compare(a.Payload, b.Payload)
}
