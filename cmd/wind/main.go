// Command wind runs shards, services, bots, replays and benchmarks of the example games: see its --help.
package main

import (
	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/examples/arena/lobby"
	"github.com/ferris1/wind/cmd/examples/arena/scripts"
	"github.com/ferris1/wind/cmd/examples/speak"
)

func main() {
	cmd.Main(arena.Game, cmd.WithBots(arena.NewBot),
		cmd.WithLobby(cmd.Lobby{Services: scripts.Services, Play: lobby.Play}), cmd.WithScripts(scripts.FS(), scripts.Dir()),
		cmd.WithGame(speak.Game, cmd.WithServices(speak.Services...), cmd.WithScripts(speak.Scripts(), speak.ScriptDir())))
}
