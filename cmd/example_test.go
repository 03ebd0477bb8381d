package cmd_test

import (
	"fmt"
	"io"
	"os"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/ecs"
)

type (
	height struct{ Metres float64 }
	falls  struct{ Height *height }
	apple  struct{ Height height }
)

// fall is a game without players, in which an apple falls.
var fall = ecs.Game{Name: "fall", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[height](w, "height")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[apple]) { s.New(apple{height{100}}) })
	ecs.System(w, "fall", func(_ *ecs.Tick, q *ecs.Query[falls]) {
		for a := range q.Each {
			a.Height.Metres = max(0, a.Height.Metres-0.5)
		}
	})
}}

// A game's main function is one line. Its binary then has every verb of wind: dev, serve, replay, bench and so on.
func ExampleMain() {
	main := func() { cmd.Main(fall) }
	_ = main
}

// Run is like Main, but returns the exit code. Here it records one second of the game and replays it from the log.
func ExampleRun() {
	data, err := os.MkdirTemp("", "fall")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(data)
	for _, args := range [][]string{
		{"dev", "--for", "1s", "--data", data, "--udp", "", "--tcp", "127.0.0.1:0", "--http", "", "--nats-port", "0", "--etcd-port", "0"},
		{"replay", "--verify", "--data", data},
		{"replay", "--verify", "--data", data, "--no-such-flag"},
	} {
		fmt.Println(args[0], cmd.Run(fall, args, io.Discard, io.Discard))
	}
	// Output:
	// dev 0
	// replay 0
	// replay 2
}
