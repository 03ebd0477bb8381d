package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
)

func replay(t *testing.T, src Source, game ecs.Game, o ReplayOptions) (ReplayResult, *ecs.World, error) {
	t.Helper()
	p := NewReplay(game, src, o)
	r, err := p.Run(context.Background())
	return r, p.World(), err
}

func TestReplayRebuildsEveryTickFromNothingButTheLog(t *testing.T) {
	v := sail(t, 200)
	next := uint64(1)
	r, w, err := replay(t, Source{Log: v.m.Log()}, drift(0), ReplayOptions{Verify: true, Each: func(w *ecs.World) error {
		if w.Tick() != next || w.Checksum() != v.sums[next] {
			t.Fatalf("tick %d has checksum %016x, it lived with %016x as tick %d", w.Tick(), w.Checksum(), v.sums[next], next)
		}
		next++
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Ticks != 200 || r.From != 1 || r.To != 200 || r.Checksum != v.world.Checksum() || r.Diverged || r.Epoch != 4 || r.Seq != v.chain.Seq() || len(r.Notes) > 0 {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(w.AppendSnapshot(nil), v.world.AppendSnapshot(nil)) {
		t.Error("the replayed world differs")
	}
}

func TestReplayStopsAtAnyTick(t *testing.T) {
	v := sail(t, 60)
	for to := uint64(1); to <= 60; to++ {
		for _, fromDeltas := range []bool{false, true} {
			r, w, err := replay(t, v.source(), drift(0), ReplayOptions{To: to, FromDeltas: fromDeltas})
			if err != nil || r.To != to || r.Ticks != to || w.Tick() != to || r.Checksum != v.sums[to] {
				t.Fatalf("to %d, from deltas %v: %+v, %v", to, fromDeltas, r, err)
			}
		}
	}
	if _, _, err := replay(t, v.source(), drift(0), ReplayOptions{To: 61}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "tick 61: the last one is 60") {
		t.Error(err)
	}
}

func TestReplayFromDeltasNeedsNoSimulation(t *testing.T) {
	v := sail(t, 200)
	broken := drift(5) // a build that would diverge if it were simulated
	r, w, err := replay(t, v.source(), broken, ReplayOptions{FromDeltas: true, Verify: true})
	if err != nil || r.Ticks != 200 || r.Checksum != v.world.Checksum() || r.Snapshot != "" || Seq(r.Records) != v.chain.Seq() {
		t.Fatalf("%+v, %v", r, err)
	}
	if !bytes.Equal(w.AppendSnapshot(nil), v.world.AppendSnapshot(nil)) {
		t.Error("the world from the deltas differs")
	}
}

func TestReplayGoesOnFromASnapshot(t *testing.T) {
	v := sail(t, 200)
	all, err := v.m.Snapshots().List(context.Background())
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for _, info := range all {
		s, err := v.m.Snapshots().Get(context.Background(), info)
		if err != nil {
			t.Fatal(err)
		}
		for _, fromDeltas := range []bool{false, true} {
			r, _, err := replay(t, v.source(), drift(0), ReplayOptions{Snapshot: &s, FromDeltas: fromDeltas, Verify: true})
			if err != nil || r.To != 200 || r.Ticks != 200-s.Tick || r.Checksum != v.world.Checksum() || r.Snapshot != s.Name() {
				t.Errorf("%s: %+v, %v", s.Name(), r, err)
			}
		}
	}
}

func TestReplayOfAPurgedLogBeginsWithASnapshot(t *testing.T) {
	v := sail(t, 200)
	all, _ := v.m.Snapshots().List(context.Background())
	older := all[1]
	if err := v.m.Log().Purge(context.Background(), older.Seq); err != nil {
		t.Fatal(err)
	}
	r, _, err := replay(t, v.source(), drift(0), ReplayOptions{Verify: true})
	if err != nil || r.Snapshot != older.Name || r.From != older.Tick+1 || r.Checksum != v.world.Checksum() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := replay(t, Source{Log: v.m.Log()}, drift(0), ReplayOptions{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, o := range []ReplayOptions{{}, {Verify: true}, {FromDeltas: true}} {
		for _, to := range []uint64{1, older.Tick - 1} {
			o.To = to
			r, _, err := replay(t, v.source(), drift(0), o)
			if want := fmt.Sprintf("tick %d: the first one is %d", to, older.Tick); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), want) || r.To > to {
				t.Errorf("to %d: %+v, %v, want %q", to, r, err, want)
			}
		}
		o.To = older.Tick
		if r, w, err := replay(t, v.source(), drift(0), o); err != nil || r.To != older.Tick || r.Ticks != 0 || w.Tick() != older.Tick {
			t.Errorf("to the first tick: %+v, %v", r, err)
		}
	}
	game := drift(0)
	report, err := Check(context.Background(), v.source(), CheckOptions{Game: &game})
	if err != nil || report.Broken() || report.Resimulated != 200-older.Tick {
		t.Errorf("%v %+v", err, report)
	}
}

func TestDeltasThatRetentionCutLeadFromASnapshot(t *testing.T) {
	v := sail(t, 200)
	v.m.deltas = v.m.deltas[120:]
	if _, _, err := replay(t, v.source(), drift(0), ReplayOptions{FromDeltas: true, To: 99}); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "tick 99: the first one is 150") {
		t.Error(err)
	}
	r, _, err := replay(t, v.source(), drift(0), ReplayOptions{FromDeltas: true, Verify: true})
	if err != nil || r.From != 151 || r.Checksum != v.world.Checksum() {
		t.Errorf("%+v, %v", r, err)
	}
	v.m.deltas = v.m.deltas[:0:0]
	if _, _, err := replay(t, v.source(), drift(0), ReplayOptions{FromDeltas: true}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestReplayNamesTheFirstDivergentTick(t *testing.T) {
	v := sail(t, 200)
	r, _, err := replay(t, v.source(), drift(133), ReplayOptions{Verify: true})
	var d *DivergedError
	if !errors.As(err, &d) || !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	if d.Tick != 133 || d.Recorded != v.sums[133] || d.Computed == d.Recorded || !r.Diverged || r.FirstDivergent != 133 || r.To != 132 || r.Checksum != v.sums[132] {
		t.Errorf("%+v, %v", r, err)
	}
	rec, err := DecodeRecord(v.m.at(d.Seq).Body)
	if err != nil || rec.FirstTick() > 133 || rec.LastTick() < 133 {
		t.Errorf("record %d does not hold tick 133", d.Seq)
	}
}

func TestReplayComparesOutboxAndFailures(t *testing.T) {
	for name, spoil := range map[string]func(*TickRecord){
		"outbox":   func(t *TickRecord) { t.Outbox = []ecs.Message{{To: "x", Name: "news", Payload: []byte{1}}} },
		"failures": func(t *TickRecord) { t.Failures = []ecs.Failure{{System: "move", Command: -1}} },
	} {
		v := sail(t, 20)
		r, err := DecodeRecord(v.m.at(8).Body)
		if err != nil {
			t.Fatal(err)
		}
		w, err := ecs.New(drift(0), ecs.Config{Seed: 11})
		if err != nil {
			t.Fatal(err)
		}
		for seq := Seq(3); seq < 8; seq++ {
			before, _ := DecodeRecord(v.m.at(seq).Body)
			if err := Resimulate(w, before, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		spoil(&r.Ticks[0])
		var d *DivergedError
		if err := Resimulate(w, r, 0, nil); !errors.As(err, &d) || d.Tick != r.FirstTick() || !strings.Contains(d.Reason, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplayNamesEachDamageWithSequenceAndTick(t *testing.T) {
	for _, c := range []struct {
		name      string
		damage    func(*voyage)
		seq       Seq
		tick      uint64
		fromDelta bool
	}{
		{"one byte altered", func(v *voyage) { v.m.at(40).Body[60] ^= 1 }, 40, 0, false},
		{"one record removed", func(v *voyage) { v.m.at(40).Body = nil }, 40, 0, false},
		{"tail cut", func(v *voyage) { v.m.log = v.m.log[:50] }, 0, 0, false},
		{"a delta altered", func(v *voyage) { v.m.deltas[40].body[200] ^= 1 }, 0, 41, true},
		{"a delta removed", func(v *voyage) { v.m.deltas = append(v.m.deltas[:40:40], v.m.deltas[41:]...) }, 0, 41, true},
	} {
		v := sail(t, 80)
		c.damage(v)
		src := v.source()
		src.Log = holed{v.m.Log()}
		_, _, err := replay(t, src, drift(0), ReplayOptions{Verify: true, FromDeltas: c.fromDelta})
		var lost *LostError
		if errors.As(err, &lost) {
			if c.name != "tail cut" || lost.Last != 50 || lost.LastTick == 0 || lost.EvidenceTick != 80 {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Tick == 0 || (c.seq > 0 && corrupt.Seq != c.seq) || (c.tick > 0 && corrupt.Tick != c.tick) {
			// The decoder finds a damaged delta, but does not know its tick.
			if c.name == "a delta altered" && errors.Is(err, ErrCorrupt) {
				continue
			}
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReplayRefusesAnotherGame(t *testing.T) {
	v := sail(t, 5)
	game := drift(0)
	game.Name = "other"
	if _, _, err := replay(t, v.source(), game, ReplayOptions{}); err == nil || !strings.Contains(err.Error(), "the log belongs to game drift, this is other") {
		t.Error(err)
	}
}

func TestReplaySaysWhenTheSchemaIsAnother(t *testing.T) {
	v := sail(t, 5)
	game := drift(0)
	setup := game.Setup
	game.Setup = func(w *ecs.World) { setup(w); ecs.Event[news](w, "later") }
	r, _, _ := replay(t, v.source(), game, ReplayOptions{})
	if len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "with a different schema from this build's: event later was added") {
		t.Error(r.Notes)
	}
}

func TestReplayMeasuresByTheCallersClock(t *testing.T) {
	v := sail(t, 50)
	now := time.Unix(0, 0)
	r, _, err := replay(t, v.source(), drift(0), ReplayOptions{Now: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil || r.Elapsed != time.Second || r.TicksPerSecond() != 50 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReplayIsManyTimesFasterThanRealTime(t *testing.T) {
	v := sail(t, 600)
	r, _, err := replay(t, v.source(), drift(0), ReplayOptions{Verify: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if times := r.TicksPerSecond() / 30; times < 30 {
		t.Errorf("%.0f times real time", times)
	}
}

func TestAnEmptyLogSaysSo(t *testing.T) {
	if _, _, err := replay(t, Source{Log: NewMemory().Log()}, drift(0), ReplayOptions{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	m := NewMemory()
	if err := m.Deltas().Publish(t.Context(), []Delta{{Lineage: testLineage, RecordSeq: 7, Epoch: 1, Tick: 5}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := replay(t, Source{Log: m.Log(), Deltas: m.Deltas()}, drift(0), ReplayOptions{Verify: true}); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

func TestStatCountsBytesPerTickAndClient(t *testing.T) {
	v := sail(t, 300)
	game := drift(0)
	src := v.source()
	src.MessageOverhead = 90
	s, err := Stat(context.Background(), src, StatOptions{Game: &game})
	if err != nil {
		t.Fatal(err)
	}
	if s.Ticks != 300 || s.TickRate != 30 || s.Epochs != 2 || s.Clients != 10 || s.InputTicks != 300 || s.Deltas.Count != 300 || s.Snapshots.Count == 0 {
		t.Errorf("%+v", s)
	}
	names := ""
	for _, c := range s.Commands {
		names += fmt.Sprintf("%s %v; ", c.Name, c.Count > 0)
	}
	if names != "drift.drop true; drift.steer true; wind.join true; " {
		t.Error(names)
	}
	total := int64(0)
	for _, k := range s.Records {
		total += k.Sum
	}
	if total != s.LogBytes || s.BytesPerHour < float64(s.LogBytes) {
		t.Errorf("%d by kind, %d in all, %.0f per hour", total, s.LogBytes, s.BytesPerHour)
	}
	if p := s.BytesPerTickAndClient; p.P50 < 20 || p.P50 > 60 || p.P99 < p.P50 {
		t.Errorf("bytes per tick and client: %+v", p)
	}
	without, err := Stat(context.Background(), src, StatOptions{})
	if err != nil || without.LogBytes != s.LogBytes || without.InputTicks != 0 {
		t.Errorf("%v %+v", err, without)
	}
}

// TestASnapshotOfAnotherGameOrSchemaIsForeign: it is intact, so nothing reports damage; a damaged snapshot is not foreign.
func TestASnapshotOfAnotherGameOrSchemaIsForeign(t *testing.T) {
	v := sail(t, 60)
	s := v.shot()
	other := drift(0)
	other.Name = "other"
	renamed := drift(0)
	renamed.Setup = func(w *ecs.World) {
		ecs.Component[position](w, "place")
		ecs.Component[speed](w, "speed")
	}
	for _, game := range []ecs.Game{other, renamed} {
		_, restored := RestoreSnapshot(game, &s)
		_, _, replayed := replay(t, v.source(), game, ReplayOptions{Snapshot: &s})
		report, err := Check(t.Context(), v.source(), CheckOptions{Game: &game})
		if err != nil || report.Broken() || !Foreign(report.Unproven) || report.Ticks != 60 || report.Snapshots == 0 {
			t.Errorf("the check of game %s: %v, %+v", game.Name, err, report)
		}
		stat, err := Stat(t.Context(), v.source(), StatOptions{Game: &game})
		if err != nil || !Foreign(stat.Uncounted) || stat.Ticks != 60 {
			t.Errorf("the statistics of game %s: %v, %+v", game.Name, err, stat)
		}
		for _, err := range []error{restored, replayed} {
			if !Foreign(err) || errors.Is(err, ErrCorrupt) {
				t.Errorf("game %s: %v", game.Name, err)
			}
		}
	}
	s.Body = s.Body[:len(s.Body)/2]
	if _, err := RestoreSnapshot(drift(0), &s); !errors.Is(err, ErrCorrupt) || Foreign(err) {
		t.Errorf("half a snapshot: %v", err)
	}
}

// TestReplayGoesThroughBuildsThatAddTypes: if the second epoch of a log adds a type, the newer build reads all of the log.
// The older build reads the first epoch and names what it lacks for the second.
func TestReplayGoesThroughBuildsThatAddTypes(t *testing.T) {
	first := drift(0)
	second := drift(0)
	second.Setup = func(w *ecs.World) {
		first.Setup(w)
		ecs.Component[news](w, "extra")
	}
	v := sail(t, 30)
	w, err := ecs.Restore(second, v.world.AppendSnapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	v.world = w
	v.append(&Record{Kind: KindEpoch, Epoch: 9, EpochStart: &EpochStart{Node: "b", Build: ecs.Build{ID: "second"}, Schema: w.Schema().JSON(), From: w.Tick()}})
	for range 10 {
		v.record(1)
	}
	r, _, err := replay(t, v.source(), second, ReplayOptions{Verify: true})
	if err != nil || r.To != 40 || !strings.Contains(strings.Join(r.Notes, " "), "component extra was added") {
		t.Errorf("the newest build replays to %d: %v, %v", r.To, err, r.Notes)
	}
	r, _, err = replay(t, v.source(), first, ReplayOptions{})
	if !errors.Is(err, ErrSchema) || r.To != 30 || !strings.Contains(err.Error(), "component extra was removed") || !strings.Contains(err.Error(), "build second") {
		t.Errorf("the first build replays to %d: %v", r.To, err)
	}
	report, err := Check(t.Context(), v.source(), CheckOptions{Game: &first})
	if err != nil || report.Broken() || !errors.Is(report.Unproven, ErrSchema) || report.Resimulated != 30 || report.LastTick != 40 {
		t.Errorf("the first build checks: %v, %+v", err, report)
	}
}

// TestADivergedTickNamesItsValues: from the recorded delta, near the beginning, after kept worlds, and from a snapshot.
func TestADivergedTickNamesItsValues(t *testing.T) {
	v := sail(t, 1200)
	snapshot := func() *Snapshot {
		all, err := v.m.Snapshots().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := v.m.Snapshots().Get(t.Context(), all[len(all)-1])
		if err != nil {
			t.Fatal(err)
		}
		return &s
	}()
	for _, c := range []struct {
		tick uint64
		from *Snapshot
	}{{1, nil}, {2, nil}, {60, nil}, {60, snapshot}, {1101, nil}, {1199, snapshot}} {
		p := NewReplay(drift(c.tick), v.source(), ReplayOptions{Verify: true, Snapshot: c.from})
		r, err := p.Run(t.Context())
		var d *DivergedError
		if !errors.As(err, &d) || d.Tick != c.tick || d.Differing != 1 {
			t.Fatalf("tick %d: %v, %+v", c.tick, err, d)
		}
		x := d.Differences[0]
		if x.What != "resource" || x.Name != "tally" || x.Field != "Spawned" || x.Have == x.Other {
			t.Errorf("tick %d: %+v", c.tick, x)
		}
		if len(r.Differences) != 1 || !strings.Contains(err.Error(), r.Differences[0]) || p.Recorded().Checksum() != v.sums[c.tick] {
			t.Errorf("tick %d: %q, %v", c.tick, r.Differences, err)
		}
	}
	src := v.source()
	src.Deltas = nil
	p := NewReplay(drift(60), src, ReplayOptions{})
	r, err := p.Run(t.Context())
	if !errors.Is(err, ErrDiverged) || p.Recorded() != nil || !strings.Contains(strings.Join(r.Notes, " "), "the delta of tick 60 is not stored") {
		t.Errorf("without deltas: %v, %v", err, r.Notes)
	}
}

// TestStatOfOtherGameLogicCountsWhatItCan: sizes need no game; the rest stops at the divergence, which names the recording
// build.
func TestStatOfOtherGameLogicCountsWhatItCan(t *testing.T) {
	v := sail(t, 120)
	game, other := drift(0), drift(75)
	want, err := Stat(t.Context(), v.source(), StatOptions{Game: &game})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Stat(t.Context(), v.source(), StatOptions{Game: &other})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(got.Uncounted, ErrDiverged) || !strings.Contains(got.Uncounted.Error(), "build f4f3784 recorded it") {
		t.Errorf("uncounted: %v", got.Uncounted)
	}
	if got.Ticks != want.Ticks || got.LogBytes != want.LogBytes || got.Deltas.Sum != want.Deltas.Sum || got.InputTicks != 74 {
		t.Errorf("%+v\nwant\n%+v up to tick 74", got, want)
	}
}

func TestADivergenceNeverNamesOneChecksumTwice(t *testing.T) {
	for _, c := range []struct {
		e    DivergedError
		want string
	}{
		{DivergedError{Seq: 9, Tick: 8, Recorded: 5, Computed: 6, Reason: "checksum"}, "persistence: replay diverges at tick 8 (record 9): checksum: recorded 0000000000000005, computed 0000000000000006"},
		{DivergedError{Seq: 9, Tick: 8, Recorded: 5, Computed: 5, Reason: "outbox: 1 messages computed, 2 recorded"}, "persistence: replay diverges at tick 8 (record 9): outbox: 1 messages computed, 2 recorded; the state is the recorded one, checksum 0000000000000005"},
		{DivergedError{Seq: 9, Tick: 8, Recorded: 5, Reason: "the frame is for tick 9"}, "persistence: replay diverges at tick 8 (record 9): the frame is for tick 9; the tick, recorded with checksum 0000000000000005, could not be simulated"},
	} {
		if c.e.Error() != c.want {
			t.Errorf("got  %s\nwant %s", c.e.Error(), c.want)
		}
	}
}
