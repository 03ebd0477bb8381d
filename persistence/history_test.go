package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

const testLineage = "0b6c2f34-5d0a-4a51-9f4e-7f3c2b1a0d9e"

var testBuild = ecs.Build{ID: "f4f3784", GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64", GOAMD64: "v1", SchemaHash: 0x1122334455667788}

// scribe writes a log with a Chain, as an owner does.
type scribe struct {
	t     testing.TB
	m     *Memory
	chain *Chain

	deltas *MemoryDeltas // the owner's handle; nil before its first delta
}

func newScribe(t testing.TB, lineage string) *scribe {
	t.Helper()
	s := &scribe{t: t, m: NewMemory(), chain: NewChain(lineage)}
	s.append(&Record{Kind: KindGenesis, Epoch: 1, Genesis: &Genesis{
		Lineage: lineage, Cluster: "dev", Shard: "main", Game: "drift",
		Options: []byte(`{"size":100}`), Seed: 7, TickRate: 30, Schema: []byte(`{"components":[]}`), Build: testBuild,
	}})
	s.epoch(1)
	return s
}

func (s *scribe) append(r *Record) Message {
	s.t.Helper()
	m, err := s.chain.Link(r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.m.Log().Append(context.Background(), m, s.chain.Seq()); err != nil {
		s.t.Fatal(err)
	}
	s.chain.Advance(r, HashOf(m.Body))
	return m
}

func (s *scribe) epoch(e Epoch) {
	s.append(&Record{Kind: KindEpoch, Epoch: e, EpochStart: &EpochStart{Node: fmt.Sprintf("node-%d", e), Build: testBuild, From: s.chain.Tick()}})
}

// checksumOf is an arbitrary function of the tick: nothing simulates these records.
func checksumOf(tick uint64) uint64 { return tick * 0x9e3779b97f4a7c15 }

func ticksFrom(first uint64, n int) []TickRecord {
	var ticks []TickRecord
	for i := range uint64(n) {
		tick := first + i
		ticks = append(ticks, TickRecord{Tick: tick, Frame: []byte(fmt.Sprintf("frame %d", tick)), Checksum: checksumOf(tick)})
	}
	return ticks
}

// ticks appends one record of n ticks and its deltas.
func (s *scribe) ticks(n int) {
	s.t.Helper()
	r := &Record{Kind: KindTicks, Epoch: s.chain.Epoch(), Ticks: ticksFrom(s.chain.Tick()+1, n)}
	s.append(r)
	for _, t := range r.Ticks {
		s.delta(Delta{Lineage: s.chain.Lineage(), Epoch: r.Epoch, RecordSeq: r.Seq, Tick: t.Tick, Checksum: t.Checksum, Body: bytes.Repeat([]byte{byte(t.Tick)}, 10)})
	}
}

func (s *scribe) delta(d Delta) {
	s.t.Helper()
	if s.deltas == nil {
		s.deltas = s.m.Deltas()
	}
	if err := s.deltas.Publish(context.Background(), []Delta{d}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scribe) snapshot() Snapshot {
	s.t.Helper()
	snap := Snapshot{
		Lineage: s.chain.Lineage(), Cluster: "dev", Shard: "main", Seq: s.chain.Seq(), Epoch: s.chain.Epoch(), Tick: s.chain.Tick(),
		Checksum: s.chain.Checksum(), Chain: s.chain.Hash(), Schema: []byte(`{}`), Body: bytes.Repeat([]byte("world"), 1000),
	}
	if err := s.m.Snapshots().Put(context.Background(), snap, nil); err != nil {
		s.t.Fatal(err)
	}
	return snap
}

func (s *scribe) source() Source {
	return Source{Log: s.m.Log(), Deltas: s.m.Deltas(), Snapshots: s.m.Snapshots(), Lineage: s.chain.Lineage()}
}

// chronicle is a log of two epochs: records 1 to 13, ticks 1 to 12 (one in each
// record, but three in record 8).
//
//	1 genesis  2 epoch 1  3-7 ticks 1-5  8 ticks 6-8  9 epoch 2  10-13 ticks 9-12
func chronicle(t testing.TB) *scribe {
	s := newScribe(t, testLineage)
	for range 5 {
		s.ticks(1)
	}
	s.ticks(3)
	s.epoch(2)
	for range 4 {
		s.ticks(1)
	}
	return s
}

func (m *Memory) at(seq Seq) *Message { return &m.log[seq-m.first] }

// Ways to damage a log. Each must be reported with its place.
var damages = []struct {
	name   string
	damage func(t *testing.T, s *scribe)
	seq    Seq
	tick   uint64
	rule   string
	word   string
	// silent: only evidence outside the log shows it
	silent bool
}{
	{name: "one byte altered", seq: 5, tick: 3, word: "its bytes have the sum", damage: func(t *testing.T, s *scribe) {
		m := s.m.at(5)
		m.Body = bytes.Clone(m.Body)
		m.Body[len(m.Body)/2] ^= 1
	}},
	{name: "one byte of the last record altered", seq: 13, tick: 12, word: "its bytes have the sum", damage: func(t *testing.T, s *scribe) {
		m := s.m.at(13)
		m.Body = bytes.Clone(m.Body)
		m.Body[20] ^= 0x80
	}},
	{name: "a header altered", seq: 5, tick: 3, rule: "I4", word: "headers", damage: func(t *testing.T, s *scribe) {
		s.m.at(5).Header.Checksum++
	}},
	{name: "one record replaced with a sound one", seq: 6, tick: 4, rule: "I4", word: "replaced", damage: func(t *testing.T, s *scribe) {
		m := s.m.at(5)
		r, err := DecodeRecord(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.Ticks[0].Frame = []byte("another frame")
		body, err := r.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		*m = r.Message(body)
	}},
	{name: "one record removed", seq: 6, tick: 4, rule: "I4", word: "missing", damage: func(t *testing.T, s *scribe) {
		s.m.log[5].Body = nil // a hole: see holed
	}},
	{name: "one record removed and the rest renumbered", seq: 6, tick: 4, rule: "I4", word: "record 7 (tick 5) is stored in its place", damage: func(t *testing.T, s *scribe) {
		s.m.log = append(s.m.log[:5:5], s.m.log[6:]...)
		for i := range s.m.log {
			s.m.log[i].Seq = Seq(i + 1)
		}
	}},
	{name: "two records swapped", seq: 5, tick: 3, rule: "I4", word: "record 6 (tick 4) is stored in its place", damage: func(t *testing.T, s *scribe) {
		s.m.log[4], s.m.log[5] = s.m.log[5], s.m.log[4]
		s.m.log[4].Seq, s.m.log[5].Seq = 5, 6
	}},
	{name: "tail cut", seq: 12, tick: 11, word: "history lost", silent: true, damage: func(t *testing.T, s *scribe) {
		s.m.log = s.m.log[:11]
	}},
	{name: "other lineage", seq: 1, tick: 1, rule: "I4", word: "its lineage is other, not " + testLineage, damage: func(t *testing.T, s *scribe) {
		s.m.log = newScribe(t, "other").m.log
	}},
	{name: "records of another lineage spliced in", seq: 2, tick: 1, rule: "I4", word: "belongs to another lineage", damage: func(t *testing.T, s *scribe) {
		s.m.log = append(s.m.log[:1:1], newScribe(t, "other").m.log[1:]...)
	}},
	{name: "epoch going back", seq: 14, tick: 13, rule: "I3", word: "it starts epoch 2, but the current epoch is 2", damage: func(t *testing.T, s *scribe) {
		forge(t, s, &Record{Kind: KindEpoch, Epoch: 2, EpochStart: &EpochStart{Node: "zombie", From: 12}})
	}},
	{name: "an epoch that begins at another tick", seq: 14, tick: 13, rule: "I4", word: "it starts after tick 11, but the log is at tick 12", damage: func(t *testing.T, s *scribe) {
		forge(t, s, &Record{Kind: KindEpoch, Epoch: 3, EpochStart: &EpochStart{Node: "late", From: 11}})
	}},
	{name: "a record of an old epoch", seq: 14, tick: 13, rule: "I3", word: "its epoch is 1, but the current epoch is 2", damage: func(t *testing.T, s *scribe) {
		forge(t, s, &Record{Kind: KindTicks, Epoch: 1, Ticks: ticksFrom(13, 1)})
	}},
	{name: "tick repeated", seq: 14, tick: 13, rule: "I2", word: "it holds tick 12 where tick 13 was expected", damage: func(t *testing.T, s *scribe) {
		forge(t, s, &Record{Kind: KindTicks, Epoch: 2, Ticks: ticksFrom(12, 1)})
	}},
	{name: "tick left out", seq: 14, tick: 13, rule: "I4", word: "it holds tick 14 where tick 13 was expected", damage: func(t *testing.T, s *scribe) {
		forge(t, s, &Record{Kind: KindTicks, Epoch: 2, Ticks: ticksFrom(14, 1)})
	}},
	{name: "a second genesis", seq: 14, tick: 13, rule: "I4", word: "but record 1, and only record 1, must be genesis", damage: func(t *testing.T, s *scribe) {
		r, err := DecodeRecord(s.m.at(1).Body)
		if err != nil {
			t.Fatal(err)
		}
		forge(t, s, r)
	}},
}

// forge appends any record with a correct sum and hash.
func forge(t *testing.T, s *scribe, r *Record) {
	t.Helper()
	r.Seq, r.Prev = s.chain.Seq()+1, s.chain.Hash()
	body, err := r.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.m.Log().Append(context.Background(), r.Message(body), s.chain.Seq()); err != nil {
		t.Fatal(err)
	}
}

// holed is a log in which messages without a body count as missing, as in a stream
// that lost them.
type holed struct{ *MemoryLog }

func (h holed) Get(ctx context.Context, seq Seq) (Message, error) {
	m, err := h.MemoryLog.Get(ctx, seq)
	if err == nil && m.Body == nil {
		err = fmt.Errorf("%w: sequence %d", ErrNotFound, seq)
	}
	return m, err
}

func (h holed) Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for m, err := range h.MemoryLog.Read(ctx, first, last) {
			if err == nil && m.Body == nil {
				yield(Message{}, fmt.Errorf("%w: sequence %d is missing", ErrGap, m.Seq))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// prove runs the chain over a whole log.
func prove(log LogReader, lineage string) (*Chain, error) {
	ctx := context.Background()
	last, err := log.Last(ctx)
	if err != nil {
		return nil, err
	}
	chain := NewChain(lineage)
	for _, err := range proven(log.Read(ctx, 1, last), chain) {
		if err != nil {
			return chain, err
		}
	}
	return chain, nil
}

func TestChainProvesASoundLog(t *testing.T) {
	s := chronicle(t)
	chain, err := prove(s.m.Log(), testLineage)
	if err != nil {
		t.Fatal(err)
	}
	if *chain != *s.chain {
		t.Fatalf("the reader's chain is %+v, the writer's %+v", chain, s.chain)
	}
	if chain.Seq() != 13 || chain.Tick() != 12 || chain.Epoch() != 2 || chain.Checksum() != checksumOf(12) || chain.Lineage() != testLineage {
		t.Fatalf("chain ends at %+v", chain)
	}
}

func TestChainNamesWhatIsWrongAndWhere(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			s := chronicle(t)
			d.damage(t, s)
			_, err := prove(holed{s.m.Log()}, testLineage)
			if d.silent {
				if err != nil {
					t.Fatalf("a cut log chains: %v", err)
				}
				return
			}
			var c *CorruptError
			if !errors.As(err, &c) || !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v (%T)", err, err)
			}
			if c.Seq != d.seq || c.Tick != d.tick || c.Rule != d.rule || !strings.Contains(err.Error(), d.word) {
				t.Errorf("sequence %d, tick %d, rule %q: %v", c.Seq, c.Tick, c.Rule, err)
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("record %d (tick %d)", d.seq, d.tick)) {
				t.Errorf("the message does not name its place: %v", err)
			}
		})
	}
}

func TestCheckFindsEachDamageAndNamesItsPlace(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			s := chronicle(t)
			d.damage(t, s)
			src := s.source()
			src.Log = holed{s.m.Log()}
			report, err := Check(context.Background(), src, CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !report.Broken() || len(report.Findings) == 0 {
				t.Fatal("nothing was found")
			}
			for _, f := range report.Findings {
				if f.Where == "log" && f.Seq == d.seq && f.Tick == d.tick && strings.Contains(f.What, d.word) && (d.silent || f.Invariant == d.rule) {
					return
				}
			}
			t.Errorf("not found at record %d, tick %d: %v", d.seq, d.tick, report.Findings)
		})
	}
}

func TestCheckIsCleanOnASoundHistory(t *testing.T) {
	s := chronicle(t)
	s.snapshot()
	report, err := Check(context.Background(), s.source(), CheckOptions{})
	if err != nil || len(report.Findings) > 0 {
		t.Fatal(err, report.Findings)
	}
	if report.Records != 13 || report.Ticks != 12 || report.Epochs != 2 || report.Deltas != 12 || report.Snapshots != 1 ||
		report.FirstTick != 1 || report.LastTick != 12 || report.Checksum != checksumOf(12) {
		t.Fatalf("%+v", report)
	}
}

func TestCheckReportsEveryDamageNotOnlyTheFirst(t *testing.T) {
	s := chronicle(t)
	for _, seq := range []Seq{4, 7, 12} {
		m := s.m.at(seq)
		m.Body = bytes.Clone(m.Body)
		m.Body[10] ^= 4
	}
	report, err := Check(context.Background(), s.source(), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var seqs []Seq
	for _, f := range report.Findings {
		seqs = append(seqs, f.Seq)
	}
	if fmt.Sprint(seqs) != "[4 7 12]" {
		t.Fatalf("found %v: %v", seqs, report.Findings)
	}
}

// docked is a log that knows that its tail is gone, like a copy of a damaged
// store.
type docked struct{ *MemoryLog }

func (d docked) Last(context.Context) (Seq, error) { return 20, nil }

func (d docked) Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for m, err := range d.MemoryLog.Read(ctx, first, min(last, 13)) {
			if !yield(m, err) {
				return
			}
		}
		yield(Message{}, &LostError{Last: 13, LastTick: 12, Evidence: "its mark", EvidenceSeq: 20})
	}
}

func TestCheckFindsWhatTheStoreItselfKnowsToBeLost(t *testing.T) {
	s := chronicle(t)
	src := s.source()
	src.Log = docked{s.m.Log()}
	report, err := Check(context.Background(), src, CheckOptions{})
	if err != nil || !report.Broken() || len(report.Findings) != 1 {
		t.Fatal(err, report.Findings)
	}
	if f := report.Findings[0]; f.Seq != 14 || f.Tick != 13 || f.Invariant != "I9" || !strings.Contains(f.What, "its mark knows sequence 20") {
		t.Error(f)
	}
}

func TestHistoryIsLostWhenAnythingKnowsMoreThanTheLog(t *testing.T) {
	delta := func(seq Seq, epoch Epoch, tick uint64) *Delta {
		return &Delta{RecordSeq: seq, Epoch: epoch, Tick: tick, Part: 1, Parts: 1}
	}
	void := delta(11, 3, 12)
	void.Gap = &Gap{FromTick: 9, ToTick: 12, Reason: VoidReason}
	shot := func(seq Seq, epoch Epoch, tick uint64) SnapshotInfo {
		return SnapshotInfo{Name: "main/s", Seq: seq, Epoch: epoch, Tick: tick}
	}
	damaged := shot(99, 2, 99)
	damaged.Damaged = "its name is no snapshot's"
	for _, c := range []struct {
		name      string
		high      Mark
		delta     *Delta
		snapshots []SnapshotInfo
		accepted  []Mark
		own       Epoch
		want      string // "" when nothing is lost; the log ends at record 10, tick 8
	}{
		{name: "no evidence"},
		{name: "all know of what is there", high: Mark{9, 2}, delta: delta(10, 2, 8), snapshots: []SnapshotInfo{shot(8, 2, 6)}},
		{name: "the high-water mark", high: Mark{11, 2}, want: "persistence: history lost: the log ends at sequence 10, tick 8, but the high-water mark knows sequence 11"},
		{name: "the one that knows most", high: Mark{11, 2}, delta: delta(12, 2, 10), want: "persistence: history lost: the log ends at sequence 10, tick 8, but the delta stream knows sequence 12 and tick 10"},
		{name: "a tick that the log's last record does not have", delta: delta(10, 2, 9), want: "the delta stream knows tick 9, but the log, which has sequence 10, ends at tick 8"},
		{name: "a snapshot", snapshots: []SnapshotInfo{shot(20, 2, 18), shot(8, 2, 6)}, want: "snapshot main/s knows sequence 20 and tick 18"},
		{name: "a damaged snapshot", snapshots: []SnapshotInfo{damaged}},
		{name: "its own note", high: Mark{11, 3}, own: 3},
		{name: "another owner's note", high: Mark{11, 2}, own: 3, want: "sequence 11"},
		{name: "an accepted loss", high: Mark{14, 2}, delta: delta(13, 2, 12), snapshots: []SnapshotInfo{shot(12, 1, 11)}, accepted: []Mark{{10, 2}}},
		{name: "an accepted loss, and one since", high: Mark{14, 3}, accepted: []Mark{{9, 2}}, want: "sequence 14"},
		{name: "an accepted loss that the newest snapshot is of, and one since", snapshots: []SnapshotInfo{shot(30, 2, 28), shot(12, 3, 10)}, accepted: []Mark{{9, 2}}, want: "snapshot main/s knows sequence 12"},
		{name: "two accepted losses", snapshots: []SnapshotInfo{shot(30, 2, 28), shot(12, 3, 10)}, accepted: []Mark{{9, 2}, {10, 3}}},
		{name: "a gap that declares an accepted loss", delta: func() *Delta { d := *void; d.RecordSeq = 10; return &d }()},
	} {
		h := History{Accepted: c.accepted}
		h.KnowsHigh(c.high)
		h.KnowsDelta(c.delta)
		h.KnowsSnapshots(c.snapshots)
		err := h.Lost(10, 8, c.own)
		if (err != nil) != (c.want != "") || err != nil && (!errors.Is(err, ErrLost) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	unknown := &LostError{Last: 10, Evidence: "the high-water mark", EvidenceSeq: 11}
	if want := "persistence: history lost: the log ends at sequence 10, but the high-water mark knows sequence 11"; unknown.Error() != want {
		t.Errorf("without a tick: %v", unknown)
	}
}

func TestALogThatWasCutAndHasGrownAgainIsLostHistory(t *testing.T) {
	var h History
	if err := h.Replaced(Mark{Seq: 7, Epoch: 2}, 2); err != nil {
		t.Error(err)
	}
	err := h.Replaced(Mark{Seq: 7, Epoch: 2}, 3)
	if want := "persistence: history lost: the high-water mark knows record 7 of epoch 2, but the log has one of epoch 3 there"; !errors.Is(err, ErrLost) || err.Error() != want {
		t.Error(err)
	}
	h.Accepted = []Mark{{Seq: 5, Epoch: 2}}
	if err := h.Replaced(Mark{Seq: 7, Epoch: 2}, 3); err != nil {
		t.Error("accepted:", err)
	}
}
