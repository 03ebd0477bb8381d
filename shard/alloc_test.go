package shard

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// lightLog acknowledges records without keeping them, once it has begun.
type lightLog struct {
	persistence.LogWriter
	light bool
}

func (l *lightLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if l.light {
		return nil
	}
	return l.LogWriter.Append(ctx, m, expect)
}

// lightDeltas keeps nothing.
type lightDeltas struct{ persistence.DeltaWriter }

func (lightDeltas) Publish(context.Context, []persistence.Delta) error { return nil }

// pusher latches the same commands for every tick.
type pusher struct{ commands []ecs.Command }

func (*pusher) Own(*ecs.World, uint64)                           {}
func (*pusher) Disown(error)                                     {}
func (*pusher) Release(*ecs.World, uint64, uint64, []ecs.Output) {}
func (p *pusher) Latch(w *ecs.World, tick uint64, dst []ecs.Command, _ int) []ecs.Command {
	for i := range p.commands {
		c := p.commands[i]
		c.Seq = tick
		dst = append(dst, c)
	}
	return dst
}

// steady returns a host that owns its shard, without its background work.
func steady(tb testing.TB, walkers string) *Host {
	c, m := NewCoordinator(), persistence.NewMemory()
	log := &lightLog{LogWriter: m.Log()}
	node := c.Member("a", time.Hour)
	w, err := ecs.New(walk(0), ecs.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	p := &pusher{}
	for i := range 50 {
		p.commands = append(p.commands, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceService, ID: uint64(i + 1)}, 1, tPush{By: 0.25}))
	}
	h, err := New(HostConfig{
		Game: walk(0), Config: ecs.Config{Options: []byte(`{"walkers":` + walkers + `}`)}, Cluster: "test", Shard: "main", Node: "a", Lineage: testLineage,
		Log: log, Deltas: lightDeltas{m.Deltas()}, Frontend: p, Ownership: node, Lease: node,
	})
	if err != nil {
		tb.Fatal(err)
	}
	h.start(tb.Context())
	tb.Cleanup(h.finish)
	h.become(tb.Context())
	if h.owner.Phase() != PhaseOwn {
		tb.Fatalf("phase %s: %v", h.owner.Phase(), h.reason)
	}
	h.begin()
	log.light = true
	return h
}

// TestSteadyTickAllocatesNothing covers the host's own work: latch, order, frame, step, record, commit, release, delta.
func TestSteadyTickAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes a sync.Pool forget")
	}
	h := steady(t, "500")
	ctx := context.Background()
	tick := func() {
		h.record(ctx, 1, 0, time.Now())
		for waiting, _ := h.ring.len(); waiting > 8; waiting, _ = h.ring.len() {
			runtime.Gosched() // ticks without a pause leave no time to publish their deltas, and a backlog needs memory
		}
	}
	for range 300 {
		tick()
	}
	if n := testing.AllocsPerRun(500, tick); n > 0 {
		t.Errorf("%v allocations per tick", n)
	}
}

// BenchmarkTickOfTheHost runs ticks of 1,000 walkers and 50 commands with a log that keeps nothing.
func BenchmarkTickOfTheHost(b *testing.B) {
	h := steady(b, "1000")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		h.record(ctx, 1, 0, time.Now())
	}
}
