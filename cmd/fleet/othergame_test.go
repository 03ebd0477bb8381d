package fleet

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
)

type idle struct{}

func (idle) Play(*client.View, uint64) []client.Action { return nil }

func TestBotsOfAnotherGameSaySo(t *testing.T) {
	game := ecs.Game{Name: "chess", TickRate: 60, Setup: func(*ecs.World) {}}
	w, err := ecs.New(game, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	door, err := netcode.Listen(netcode.Config{TCP: "127.0.0.1:0", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.New(door, session.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.Own(w, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				f := ecs.Frame{Tick: w.Tick() + 1}
				f.Commands = s.Latch(w, f.Tick, nil, 1<<20)
				w.Order(f.Tick, f.Commands)
				out := w.Step(f)
				s.Release(w, f.Tick, 1, []ecs.Output{out})
			}
		}
	}()
	defer func() { close(stop); <-done; door.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := Config{
		Addrs: []string{door.TCPAddr().String()}, Transport: client.TCP, Game: "arena", Count: 2, Prefix: "bot",
		NewBot: func(uint64) client.Bot { return idle{} },
	}
	_, err = Start(ctx, c)
	var other *OtherGameError
	if !errors.As(err, &other) || other.Runs != "chess" || other.Plays != "arena" {
		t.Errorf("got %v", err)
	}
	c.Game = "chess"
	f, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
