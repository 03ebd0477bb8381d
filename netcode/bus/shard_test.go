package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/rpc"
)

// The game of this test adds up numbers.
type (
	tally struct{ Sum int64 }
	add   struct{ N int64 }
)

func (a add) Validate() error {
	if a.N < 0 {
		return errors.New("negative")
	}
	return nil
}

// tallying does the minimum that a shard does with a port.
type tallying struct {
	w    *ecs.World
	port *intake.Port
}

func newTallying(t *testing.T) *tallying {
	t.Helper()
	w, err := ecs.New(ecs.Game{Name: "adding", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Resource[tally](w, "tally")
		ecs.Handle[add](w, "add", func(t *ecs.Tick, c *ecs.Cmd[add], r *ecs.Res[tally]) {
			if c.Value.N == 13 {
				c.Reject("unlucky")
			}
			r.Get().Sum += c.Value.N
		})
	}}, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := &tallying{w, intake.NewPort(slog.New(slog.DiscardHandler))}
	o.port.Own(w, 1)
	return o
}

func (o *tallying) tick() {
	b := intake.Batch{Tick: o.w.Tick() + 1, Left: ecs.FrameBytes}
	o.port.Latch(o.w, &b)
	o.w.Order(b.Tick, b.Commands)
	o.port.Release([]ecs.Output{o.w.Step(ecs.Frame{Tick: b.Tick, Commands: b.Commands})})
}

func (o *tallying) tally() tally { return ecs.ResourceOf[tally](o.w) }

// add returns what adds a number, for an operator.
func (o *tallying) add(n int64) intake.Compose {
	return func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
		source, seq := next(ecs.SourceOperator)
		return []ecs.Command{ecs.NewCommand(w, source, seq, add{n})}, nil
	}
}

func TestShardCommandsOverTheBus(t *testing.T) {
	srv := startNATS(t)
	o := newTallying(t)
	served, err := openBus(t, srv).ServeShard(ShardConfig{Shard: "main", Port: o.port, Ops: map[string]ShardOp{
		"reload": func(ctx context.Context, body []byte) ([]byte, error) {
			u, err := o.port.Submit(ctx, o.add(1000))
			return fmt.Appendf(nil, `{"tick":%d,"generation":7}`, u.Tick), err
		},
		"fail": func(ctx context.Context, body []byte) ([]byte, error) { return nil, errors.New("a.star:1:2: no") },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(served.Close)
	if err := served.bus.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				o.tick()
			}
		}
	}()
	b := openBus(t, srv)
	ctx := testContext(t)
	send := func(name, value, from string) (uint64, error) {
		return b.Command(ctx, "main", rpc.ShardCommand{Name: name, Value: json.RawMessage(value), From: from})
	}
	if tick, err := send("add", `{"n":5}`, "game/game-1"); err != nil || tick == 0 {
		t.Fatalf("%d, %v", tick, err)
	}
	if _, err := send("add", ``, ""); err != nil {
		t.Fatal(err)
	}
	_, err = send("add", `{"n":13}`, "")
	if text := wantError(t, err, rpc.FailedPrecondition, false); text != "add: unlucky" {
		t.Fatal(text)
	}
	_, err = send("add", `{"n":-1}`, "")
	wantError(t, err, rpc.InvalidArgument, false)
	_, err = send("add", `{"m":1}`, "")
	wantError(t, err, rpc.InvalidArgument, false)
	_, err = send("fly", `{}`, "")
	wantError(t, err, rpc.NotFound, false)
	_, err = send("wind.join", `{}`, "")
	wantError(t, err, rpc.PermissionDenied, false)
	if a, err := b.Shard(ctx, "main", "reload", "", nil); err != nil || !strings.Contains(string(a), `"generation":7`) {
		t.Fatalf("%s, %v", a, err)
	}
	_, err = b.Shard(ctx, "main", "fail", "", nil)
	if text := wantError(t, err, rpc.Internal, false); text != "a.star:1:2: no" {
		t.Fatal(text)
	}
	_, err = b.Shard(ctx, "main", "dance", "", nil)
	wantError(t, err, rpc.Unimplemented, false)
	_, err = b.Shard(ctx, "other", "reload", "", nil)
	wantError(t, err, rpc.Unavailable, false)
	close(stop)
	<-done
	if u := o.tally(); u.Sum != 1005 {
		t.Fatalf("%+v", u)
	}

	o.port.Disown(errors.New("moved"))
	eventually(t, "no subscription is left", func() bool {
		_, err := send("add", `{"n":1}`, "")
		wantError(t, err, rpc.Unavailable, false)
		return err.(*rpc.Error).Text == "no node runs shard main"
	})
	o.port.Own(o.w, 3)
	if err := served.bus.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second) // no tick comes
	defer cancel()
	_, err = b.Command(short, "main", rpc.ShardCommand{Name: "add", Value: json.RawMessage(`{"n":1}`)})
	if wantError(t, err, rpc.DeadlineExceeded, false); !err.(*rpc.Error).NotBegun {
		t.Fatalf("%+v, want NotBegun", err)
	}
	if n := o.port.Waiting(); n != 0 {
		t.Fatalf("%d commands wait whose senders have given up", n)
	}
	if o.tick(); o.tally().Sum != 1005 {
		t.Fatal("a command was executed after its time")
	}
}
