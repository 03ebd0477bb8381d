// Command wind runs the arena game's shards, bots, replays and benchmarks: see its --help.
package main

import (
	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
)

func main() { cmd.Main(arena.Game, cmd.WithBots(arena.NewBot)) }
