package node

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
)

// TestAGameSaysHowFarItsClientsSee: a client at 0 sees a beacon 500 metres away if the game's sight reaches it.
func TestAGameSaysHowFarItsClientsSee(t *testing.T) {
	t.Parallel() // mostly waits
	type place struct{ X, Y float64 }
	type body struct{ Place place }
	for name, c := range map[string]struct {
		metres float64
		sees   int // the beacons at 50 and 500 metres, and itself
	}{"default": {0, 2}, "far": {600, 3}} {
		t.Run(name, func(t *testing.T) {
			game := ecs.Game{Name: "beacons", TickRate: 30, SightMetres: c.metres, Setup: func(w *ecs.World) {
				ecs.Component[place](w, "place", ecs.Replicated, ecs.Spatial)
				ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[body]) {
					s.New(body{place{X: 50}})
					s.New(body{place{X: 500}})
				})
				ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[body]) {
					t.Control(c.From(), s.New(body{}))
				})
			}}
			quiet := slog.New(slog.DiscardHandler)
			n, err := Start(t.Context(), Config{Game: game, Data: filepath.Join(t.TempDir(), "data"), Fast: true, UDP: "127.0.0.1:0", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = n.Stop() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			settle := make(chan struct{}, 1)
			settled := uint64(0) // the tick in which the client first saw anything
			p, err := client.Dial(ctx, client.Config{Addr: n.UDPAddr(), Identity: "ann", Logger: quiet, OnUpdate: func(u client.Update) {
				if settled == 0 {
					settled = u.Tick
				}
				if u.Tick > settled+15 {
					select {
					case settle <- struct{}{}:
					default:
					}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			select {
			case <-settle:
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
			p.View(func(v *client.View) {
				if v.Len() != c.sees {
					t.Errorf("the client sees %d entities, want %d", v.Len(), c.sees)
				}
			})
		})
	}
}
