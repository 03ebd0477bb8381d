package bench

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

func TestLogComparesEqualBytesAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	r, err := Log(context.Background(), LogOptions{Rounds: 20, Ticks: 6, Sizes: []int{1 << 10, 16 << 10}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1 << 10, 16 << 10} {
		l := r.Sizes[i]
		if l.Bytes < want-8 || l.Bytes > want+8 || l.WindP50 <= 0 || l.WindP99 < l.WindP50 || l.BareP50 <= 0 || l.BareP99 < l.BareP50 || l.Ratio <= 0 {
			t.Errorf("size %+v, want %d bytes", l, want)
		}
		if judged := l.TargetRatio > 0; judged != (want == JudgedBytes) || l.Pass != (!judged || l.Ratio <= TargetCommit) {
			t.Errorf("size %+v is judged: %v", l, judged)
		}
	}
	k := r.Tick
	if k == nil || k.Ticks != 6 || k.DeltaBytes < 16*MovingEntities || k.Share <= 0 || k.Pass != (k.Share < TargetTickShare) {
		t.Errorf("tick %+v", k)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLogRefusesNonsenseAndStops(t *testing.T) {
	for _, o := range []LogOptions{{Rounds: -1}, {Sizes: []int{100}}, {Sizes: []int{1 << 20}}} {
		if _, err := Log(context.Background(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Log(ctx, LogOptions{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

// logged benchmarks whole ticks including everything stored for them: record and delta, acknowledged.
func logged(b *testing.B, open func(lineage string) (appender, persistence.DeltaWriter, func(), error)) {
	each(b, func(b *testing.B, n int) {
		ctx := context.Background()
		lineage := newLineage()
		log, deltas, closed, err := open(lineage)
		if err != nil {
			b.Fatal(err)
		}
		defer closed()
		g := game(n, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
		w, err := newWriter(ctx, log, lineage, g, 1)
		if err != nil {
			b.Fatal(err)
		}
		world, err := ecs.New(g, ecs.Config{Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		var frame, delta []byte
		one := [1]persistence.Delta{}
		tick := func() {
			f := ecs.Frame{Tick: world.Tick() + 1}
			frame = world.AppendFrame(frame[:0], f)
			out := world.Step(f)
			if err := w.commit(ctx, persistence.NewTickRecord(frame, out)); err != nil {
				b.Fatal(err)
			}
			delta = out.Delta.AppendTo(delta[:0])
			one[0] = persistence.Delta{Lineage: lineage, Epoch: 1, RecordSeq: w.chain.Seq(), Tick: out.Tick, Checksum: out.Checksum, Body: delta}
			if err := deltas.Publish(ctx, one[:]); err != nil {
				b.Fatal(err)
			}
		}
		for range 3 {
			tick()
		}
		for b.Loop() {
			tick()
		}
	})
}

func BenchmarkTickWithMemoryLog(b *testing.B) {
	logged(b, func(string) (appender, persistence.DeltaWriter, func(), error) {
		m := persistence.NewMemory()
		return m.Log(), m.Deltas(), func() {}, nil
	})
}

func BenchmarkTickWithJetStream(b *testing.B) {
	logged(b, func(lineage string) (appender, persistence.DeltaWriter, func(), error) {
		s, err := openStore(context.Background(), b.TempDir(), false, lineage)
		if err != nil {
			return nil, nil, nil, err
		}
		return s.shard.Log(), s.shard.Deltas(), s.close, nil
	})
}
