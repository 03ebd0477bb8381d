package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
)

// RPCOptions configures RPC. The zero value means 100 connections, depths 1 and 16, 64 bytes, a handler in Go, 3 rounds
// of 2 s.
type RPCOptions struct {
	Connections int
	Depths      []int // requests under way on each connection
	Bytes       int   // of a message, both ways
	Script      bool  // use the handler in Starlark
	Rounds      int
	For         time.Duration // of each measurement
	Dir         string        // parent of the servers' temporary store

	Progress func(done, total int) // in rounds of all depths; may be nil
}

// RPCResult is the result of RPC: round trips from a client over TCP, a gateway and NATS to a service and back. Load
// generator, NATS and etcd run in the same process. The rounds alternate with as many bare requests over another NATS server.
type RPCResult struct {
	Bytes   int        `json:"bytes"`
	Handler string     `json:"handler"`
	Rounds  int        `json:"rounds"`
	Depths  []RPCDepth `json:"depths"`
}

// RPCDepth compares both sides at one depth by their median rounds.
type RPCDepth struct {
	Wind  LoadResult `json:"wind"`
	Bare  LoadResult `json:"bare"`  // nats.go's request and reply between two connections, as many under way
	Ratio float64    `json:"ratio"` // bare requests per second over Wind's
}

// RPC measures requests through a gateway. When ctx ends it stops early with ctx's error.
func RPC(ctx context.Context, o RPCOptions) (r RPCResult, err error) {
	if err := o.complete(); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(o.Dir, "wind-bench-")
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	n, err := node.Start(ctx, node.Config{
		Game: ecs.Game{Name: "bench", TickRate: tickRate}, Data: dir, Fast: true, TCP: "127.0.0.1:0", NoShard: true,
		Services: []node.Service{Echo()}, Gateway: &node.Gateway{Rate: -1}, Scripts: EchoScripts(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return r, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	bare, err := openBare(ctx)
	if err != nil {
		return r, err
	}
	defer bare.close()

	r = RPCResult{Bytes: o.Bytes, Handler: "go", Rounds: o.Rounds}
	if o.Script {
		r.Handler = "star"
	}
	for i, depth := range o.Depths {
		d, err := o.depth(ctx, n.TCPAddr(), bare, depth, i*o.Rounds)
		if err != nil {
			return r, err
		}
		r.Depths = append(r.Depths, d)
	}
	return r, nil
}

func (o *RPCOptions) complete() error {
	if o.Connections == 0 {
		o.Connections = 100
	}
	if o.Depths == nil {
		o.Depths = []int{1, 16}
	}
	if o.Bytes == 0 {
		o.Bytes = 64
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.For == 0 {
		o.For = 2 * time.Second
	}
	if o.Bytes < 4 || o.Bytes > 1024 || o.Rounds < 1 {
		return fmt.Errorf("bench: messages of %d bytes, %d rounds: want 4 to 1024 bytes and at least 1 round", o.Bytes, o.Rounds)
	}
	return nil
}

// depth measures both sides alternately; before counts the rounds of earlier depths, for Progress.
func (o *RPCOptions) depth(ctx context.Context, addr string, bare *bare, depth, before int) (RPCDepth, error) {
	var wind, plain []LoadResult
	for i := range o.Rounds {
		if o.Progress != nil {
			o.Progress(before+i, o.Rounds*len(o.Depths))
		}
		w, err := Load(ctx, LoadOptions{
			Addr: addr, Connections: o.Connections, Depth: depth, Warm: o.For / 10, For: o.For,
			Wire: func(n int) Wire { return EchoWire(n, o.Bytes, o.Script) },
		})
		if err != nil {
			return RPCDepth{}, err
		}
		b, err := bare.load(ctx, o.Connections*depth, o.Bytes, o.For)
		if err != nil {
			return RPCDepth{}, err
		}
		wind, plain = append(wind, w), append(plain, b)
	}
	d := RPCDepth{Wind: middle(wind), Bare: middle(plain)}
	d.Ratio = d.Bare.PerSecond / d.Wind.PerSecond
	return d, nil
}

// middle returns the median of some results by requests per second, the slower of two.
func middle(some []LoadResult) LoadResult {
	slices.SortFunc(some, func(a, b LoadResult) int { return int(a.PerSecond - b.PerSecond) })
	return some[(len(some)-1)/2]
}
