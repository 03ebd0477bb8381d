package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// The targets of Log.
const (
	TargetCommit    = 1.3      // p50 of a commit over p50 of a bare publish of the same bytes
	JudgedBytes     = 16 << 10 // record size at which the ratio is judged
	TargetTickShare = 0.10     // share of a tick's time that log and delta stream may take at MovingEntities
	MovingEntities  = 10_000   // all move in every tick
	tickRate        = 30       // per second
	warmUp          = 20       // commits before counting starts
)

// LogOptions configures Log. The zero value means 300 rounds of 1, 16, 64 and 256 KiB, and 90 ticks, in the directory
// for temporary files, without fsync.
type LogOptions struct {
	Rounds     int    // per size
	Sizes      []int  // bytes of a record, 512 to 512 KiB
	Ticks      int    // paced, 30 per second; -1: none
	Dir        string // parent of the temporary store
	SyncAlways bool   // fsync before each acknowledgement

	Progress func(done, total int) // in sizes; may be nil
}

// LogResult is the result of Log, measured on an embedded server with an in-process connection and a file store.
type LogResult struct {
	Rounds     int       `json:"rounds"`
	SyncAlways bool      `json:"sync_always"`
	Sizes      []LogSize `json:"sizes"`
	Tick       *LogTick  `json:"tick,omitempty"`
	Pass       bool      `json:"pass"`
	Failed     []string  `json:"failed"`
}

// LogSize compares commits of one size. Wind's time covers the whole commit after the tick: encoding the record,
// hashing it into the chain, appending it with the fence, waiting for the acknowledgement.
type LogSize struct {
	Bytes       int     `json:"bytes"` // of the message's body, the same for both
	WindP50     float64 `json:"wind_us_p50"`
	WindP99     float64 `json:"wind_us_p99"`
	BareP50     float64 `json:"bare_us_p50"` // of the faster of two ways to publish with nats.go
	BareP99     float64 `json:"bare_us_p99"`
	BareBy      string  `json:"bare_by"`
	Ratio       float64 `json:"ratio"` // of the p50
	TargetRatio float64 `json:"target,omitempty"`
	Pass        bool    `json:"pass"`
}

// LogTick reports how much of a paced tick the log and the delta stream take while MovingEntities move.
type LogTick struct {
	Entities    int     `json:"entities"`
	Ticks       int     `json:"ticks"`
	RecordBytes int     `json:"record_bytes"`
	DeltaBytes  int     `json:"delta_bytes"` // before packing
	StepP50     float64 `json:"step_us_p50"`
	CommitP50   float64 `json:"commit_us_p50"` // frame, record, append, acknowledgement
	CommitP99   float64 `json:"commit_us_p99"`
	DeltaP50    float64 `json:"delta_us_p50"` // encoding and publishing the delta, acknowledgement
	DeltaP99    float64 `json:"delta_us_p99"`
	PackP50     float64 `json:"pack_us_p50"` // packing the delta, not in DeltaP50: a shard packs and publishes beside its ticks
	PackP99     float64 `json:"pack_us_p99"`
	Share       float64 `json:"share"`      // p50 of commit and delta together, over the tick's time
	PackShare   float64 `json:"pack_share"` // PackP50 over the tick's time
	TargetShare float64 `json:"target"`
	Pass        bool    `json:"pass"`
}

// Log measures commits and the log's share of a tick. When ctx ends it stops early with ctx's error. It removes its
// store before it returns.
func Log(ctx context.Context, o LogOptions) (LogResult, error) {
	if err := o.complete(); err != nil {
		return LogResult{}, err
	}
	lineage := newLineage()
	s, err := openStore(ctx, o.Dir, o.SyncAlways, lineage)
	if err != nil {
		return LogResult{}, err
	}
	defer s.close()

	g := game(MovingEntities, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
	w, err := newWriter(ctx, s.shard.Log(), lineage, g, 1)
	if err != nil {
		return LogResult{}, err
	}
	r := LogResult{Rounds: o.Rounds, SyncAlways: o.SyncAlways, Failed: []string{}}
	if o.Ticks > 0 {
		t, err := logTicks(ctx, s, w, g, o.Ticks)
		if err != nil {
			return LogResult{}, err
		}
		r.Tick = &t
		if !t.Pass {
			r.Failed = append(r.Failed, "share of a tick")
		}
	}
	for i, size := range o.Sizes {
		if o.Progress != nil {
			o.Progress(i, len(o.Sizes))
		}
		l, err := logSize(ctx, s, w, size, o.Rounds)
		if err != nil {
			return LogResult{}, err
		}
		r.Sizes = append(r.Sizes, l)
		if !l.Pass {
			r.Failed = append(r.Failed, fmt.Sprintf("commit of %d bytes", size))
		}
	}
	r.Pass = len(r.Failed) == 0
	return r, nil
}

// complete fills in the defaults and rejects values out of range.
func (o *LogOptions) complete() error {
	if o.Rounds == 0 {
		o.Rounds = 300
	}
	if o.Sizes == nil {
		o.Sizes = []int{1 << 10, 16 << 10, 64 << 10, 256 << 10}
	}
	if o.Ticks == 0 {
		o.Ticks = 90
	}
	if o.Rounds < 1 {
		return fmt.Errorf("bench: %d rounds: want at least 1", o.Rounds)
	}
	for _, n := range o.Sizes {
		if n < 512 || n > 512<<10 {
			return fmt.Errorf("bench: a record of %d bytes: want 512 to %d", n, 512<<10)
		}
	}
	return nil
}

// logSize measures the three ways of appending alternately.
func logSize(ctx context.Context, s *store, w *writer, size, rounds int) (LogSize, error) {
	wind, publish, request := newSamples("wind", rounds), newSamples("JetStream publish", rounds), newSamples("request", rounds)
	frame := make([]byte, size)
	for i := range frame {
		frame[i] = byte(i * 7)
	}
	var body []byte
	var failed error
	ways := []func(count bool){
		func(count bool) {
			began := time.Now()
			err := w.commit(ctx, persistence.TickRecord{Tick: w.chain.Tick() + 1, Frame: frame, Checksum: 1})
			wind.keep(count, began)
			failed = first(failed, err)
		},
		func(count bool) {
			began := time.Now()
			err := s.publish(ctx, body)
			publish.keep(count, began)
			failed = first(failed, err)
		},
		func(count bool) {
			began := time.Now()
			err := s.request(ctx, body)
			request.keep(count, began)
			failed = first(failed, err)
		},
	}
	ways[0](false) // to learn how many bytes of a record are overhead beside its frame
	if failed != nil {
		return LogSize{}, failed
	}
	frame = frame[:max(size-(len(w.body)-len(frame)), 0)]
	ways[0](false)
	body = append(body, w.body...)
	for i := range warmUp + rounds {
		for k := range ways { // rotate which comes first
			ways[(i+k)%len(ways)](i >= warmUp)
		}
		if err := first(failed, ctx.Err()); err != nil {
			return LogSize{}, err
		}
	}
	bare := publish
	if quantile(request.times, 0.5) < quantile(publish.times, 0.5) {
		bare = request
	}
	l := LogSize{
		Bytes: len(body), WindP50: wind.micros(0.5), WindP99: wind.micros(0.99),
		BareP50: bare.micros(0.5), BareP99: bare.micros(0.99), BareBy: bare.name,
		Ratio: round2(float64(quantile(wind.times, 0.5)) / float64(quantile(bare.times, 0.5))), Pass: true,
	}
	if size == JudgedBytes {
		l.TargetRatio, l.Pass = TargetCommit, l.Ratio <= TargetCommit
	}
	return l, nil
}

// logTicks runs paced ticks as a host does: step, commit, then publish the delta.
func logTicks(ctx context.Context, s *store, w *writer, g ecs.Game, ticks int) (LogTick, error) {
	world, err := ecs.New(g, ecs.Config{Seed: 1})
	if err != nil {
		return LogTick{}, fmt.Errorf("bench: %w", err)
	}
	steps, commits, deltas, packs, both := newSamples("step", ticks), newSamples("commit", ticks), newSamples("delta", ticks), newSamples("pack", ticks), newSamples("both", ticks)
	layout := persistence.LayoutOf(world.Schema())
	var frame, delta []byte
	pace := time.NewTicker(time.Second / tickRate)
	defer pace.Stop()
	for i := range ticks + 3 { // the first ones spawn everything
		select {
		case <-pace.C:
		case <-ctx.Done():
			return LogTick{}, ctx.Err()
		}
		f := ecs.Frame{Tick: world.Tick() + 1}
		began := time.Now()
		frame = world.AppendFrame(frame[:0], f)
		framed := time.Now()
		out := world.Step(f)
		stepped := time.Now()
		if err := w.commit(ctx, persistence.NewTickRecord(frame, out)); err != nil {
			return LogTick{}, err
		}
		packed, committed := s.shard.Deltas().Packing(), time.Now()
		delta = out.Delta.AppendTo(delta[:0])
		err := s.shard.Deltas().Publish(ctx, []persistence.Delta{{
			Lineage: w.lineage, Epoch: 1, RecordSeq: w.chain.Seq(), Tick: out.Tick, Checksum: out.Checksum, Body: delta, Layout: layout,
		}})
		if err != nil {
			return LogTick{}, fmt.Errorf("bench: %w", err)
		}
		published := time.Now()
		packed = s.shard.Deltas().Packing() - packed
		if i >= 3 {
			steps.times = append(steps.times, stepped.Sub(framed))
			commits.times = append(commits.times, committed.Sub(stepped)+framed.Sub(began))
			deltas.times = append(deltas.times, published.Sub(committed)-packed)
			packs.times = append(packs.times, packed)
			both.times = append(both.times, published.Sub(stepped)-packed+framed.Sub(began))
		}
	}
	t := LogTick{
		Entities: MovingEntities, Ticks: ticks, RecordBytes: len(w.body), DeltaBytes: len(delta), StepP50: steps.micros(0.5),
		CommitP50: commits.micros(0.5), CommitP99: commits.micros(0.99), DeltaP50: deltas.micros(0.5), DeltaP99: deltas.micros(0.99),
		PackP50: packs.micros(0.5), PackP99: packs.micros(0.99), PackShare: round4(float64(quantile(packs.times, 0.5)) / float64(time.Second/tickRate)),
		Share: float64(quantile(both.times, 0.5)) / float64(time.Second/tickRate), TargetShare: TargetTickShare,
	}
	t.Share = round4(t.Share)
	t.Pass = t.Share < t.TargetShare
	return t, nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
