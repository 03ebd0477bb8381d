package arena

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
)

func TestABrainAimsElsewhereInEveryTick(t *testing.T) {
	for name, enemies := range map[string][]Enemy{
		"nobody": nil, "one at rest": {{X: 5, Y: 5}}, "one in the same place": {{}}, "far away": {{X: 1000}},
	} {
		b := NewBrain(1)
		last := b.Next(0, 0, enemies)
		for tick := range 5000 {
			in := b.Next(0, 0, enemies)
			if in.Aim == last.Aim {
				t.Fatalf("%s: aim %d twice in tick %d", name, in.Aim, tick)
			}
			if err := in.Validate(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			last = in
		}
	}
}

// TestBotsFightOverTheNetwork: bots play over UDP in a world that is stepped as fast as they send.
func TestBotsFightOverTheNetwork(t *testing.T) {
	options, err := Game.EncodeOptions(Options{Monsters: 20, Size: 60, Respawn: 1, TickRate: TickRate})
	if err != nil {
		t.Fatal(err)
	}
	w, err := ecs.New(Game, ecs.Config{Seed: 1, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	door, err := netcode.Listen(netcode.Config{UDP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	server, err := session.New(door, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server.Own(w, 1)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const players = 4
	clients := make(chan *client.Client, players)
	for i := range players {
		go func() {
			c, err := client.Dial(ctx, client.Config{Addr: door.UDPAddr().String(), Identity: fmt.Sprint("bot-", i), Bot: NewBot(uint64(i))})
			if err != nil {
				t.Error(err)
			}
			clients <- c
		}()
	}
	defer func() {
		for range players {
			if c := <-clients; c != nil {
				c.Abandon()
			}
		}
	}()

	aims := map[uint64]Angle{}
	inputs, same, chosen := 0, 0, 0
	pace := time.NewTicker(time.Second / TickRate)
	defer pace.Stop()
	input, _ := w.Schema().Command("arena.input")
	choose, _ := w.Schema().Command("arena.choose")
	for ctx.Err() == nil {
		<-pace.C
		f := ecs.Frame{Tick: w.Tick() + 1}
		f.Commands = server.Latch(w, f.Tick, nil, 256<<10)
		w.Order(f.Tick, f.Commands)
		for _, c := range f.Commands {
			switch {
			case int(c.Kind) == choose:
				chosen++
			case int(c.Kind) == input && c.Flags&ecs.FlagRepeated == 0:
				in, err := ecs.UnpackValue[Input](c.Payload)
				if err != nil {
					t.Fatal(err)
				}
				if last, ok := aims[c.Source.ID]; ok && last == in.Aim {
					same++
				}
				aims[c.Source.ID] = in.Aim
				inputs++
			}
		}
		out := w.Step(f)
		server.Release(w, f.Tick, 1, []ecs.Output{out})
		if s := ecs.ResourceOf[Score](w); s.Hits >= 5 && s.Monsters+s.Players >= 1 && inputs > 200 && chosen >= players && len(aims) == players {
			if same*50 > inputs {
				t.Errorf("%d of %d aims repeat the last one", same, inputs)
			}
			return
		}
	}
	t.Errorf("after 30 seconds: %d inputs, %d weapons chosen, %d players, score %+v", inputs, chosen, len(aims), ecs.ResourceOf[Score](w))
}
