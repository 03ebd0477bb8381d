package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
)

type (
	place struct{ X, Y float64 }
	body  struct{ Place place }
	walk  struct{ X, Y int8 }
	wave  struct{ Times uint8 }
)

// waves is a game in which players walk and wave.
var waves = ecs.Game{Name: "waves", TickRate: 60, Setup: func(w *ecs.World) {
	ecs.Component[place](w, "place", ecs.Replicated, ecs.Spatial)
	ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[body]) {
		t.Control(c.From(), s.New(body{}))
	})
	ecs.Handle[walk](w, "walk", func(t *ecs.Tick, c *ecs.Cmd[walk], all *ecs.Sessions, places *ecs.Comp[place]) {
		s, _ := all.Get(c.From())
		if p := places.Get(s.View); p != nil {
			p.X += float64(c.Value.X)
			p.Y += float64(c.Value.Y)
		}
	}, ecs.Sampled)
	ecs.Handle[wave](w, "wave", func(t *ecs.Tick, c *ecs.Cmd[wave]) {
		if c.Value.Times > 3 {
			c.Reject("that is tiring")
		}
	})
}}

// serve is a miniature node for the examples: it steps a world and updates its clients, without a log.
func serve(ctx context.Context) (address string, err error) {
	door, err := netcode.Listen(netcode.Config{TCP: "127.0.0.1:0"})
	if err != nil {
		return "", err
	}
	clients, err := session.New(door, session.Config{})
	if err != nil {
		return "", err
	}
	w, err := ecs.New(waves, ecs.Config{})
	if err != nil {
		return "", err
	}
	go func() {
		defer door.Close()
		clients.Own(w, 1)
		ticks := time.NewTicker(time.Second / time.Duration(waves.TickRate))
		defer ticks.Stop()
		for ctx.Err() == nil {
			<-ticks.C
			tick := w.Tick() + 1
			f := ecs.Frame{Tick: tick, Commands: clients.Latch(w, tick, nil, 1<<18)}
			w.Order(tick, f.Commands)
			clients.Release(w, tick, 1, []ecs.Output{w.Step(f)})
		}
	}()
	return door.TCPAddr().String(), nil
}

func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address, err := serve(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	updates := make(chan struct{}, 1)
	c, err := client.Dial(ctx, client.Config{
		Addr: address, Transport: client.TCP, Identity: "ann",
		OnUpdate: func(client.Update) { // a tick has arrived: what it shows is in View
			select {
			case updates <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("plays", c.Game())

	// A sampled command states an intention: the client sends it for every tick until you set another one.
	if err := c.SetInput(client.Do("walk", walk{X: 1})); err != nil {
		fmt.Println(err)
	}
	// A reliable command is answered once its tick is committed.
	for _, times := range []uint8{2, 200} {
		reply, err := c.Send(ctx, client.Do("wave", wave{Times: times}))
		fmt.Println(times, reply.Rejected, reply.Reason, err)
	}
	// What the client sees, by the components' names.
	walked := false
	for !walked && ctx.Err() == nil {
		select {
		case <-updates:
		case <-ctx.Done():
		}
		c.View(func(v *client.View) {
			p, ok := client.Get[place](v, v.Self(), "place")
			walked = ok && p.X > 0
		})
	}
	fmt.Println("has walked:", walked)
	// Output:
	// plays waves
	// 2 false  <nil>
	// 200 true that is tiring <nil>
	// has walked: true
}
