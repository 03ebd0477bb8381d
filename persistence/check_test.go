package persistence

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

func checkWith(t *testing.T, src Source, game ecs.Game) Report {
	t.Helper()
	report, err := Check(context.Background(), src, CheckOptions{Game: &game})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// finds demands exactly these findings. Each is a list of texts, separated by |, that the finding, with what follows from it, must contain.
func finds(t *testing.T, r Report, want ...string) {
	t.Helper()
	if len(r.Findings) != len(want) {
		t.Errorf("%d findings, not %d: %v", len(r.Findings), len(want), r.Findings)
		return
	}
	for i, words := range want {
		for _, word := range strings.Split(words, "|") {
			if text := strings.Join(append([]string{r.Findings[i].String()}, r.Findings[i].Then...), "; so: "); !strings.Contains(text, word) {
				t.Errorf("finding %d: %v\ndoes not say %q", i, text, word)
			}
		}
	}
}

func TestCheckWithTheGameProvesEveryTickAndDelta(t *testing.T) {
	v := sail(t, 200)
	r := checkWith(t, v.source(), drift(0))
	finds(t, r)
	if r.Resimulated != 200 || r.Deltas != 200 || r.Snapshots != 4 || r.Epochs != 2 || r.Epoch != 4 || r.Checksum != v.world.Checksum() || r.Broken() {
		t.Errorf("%+v", r)
	}
}

func TestCheckNamesTheFirstDivergentTickAndGoesOnFromTheNextSnapshot(t *testing.T) {
	v := sail(t, 200)
	r := checkWith(t, v.source(), drift(75))
	finds(t, r, "log: broken I5|tick 75|checksum|build f4f3784 recorded it")
	if r.Resimulated != 74+100 { // up to 74, and from the snapshot at 100
		t.Errorf("%d ticks re-simulated", r.Resimulated)
	}
}

// redelta replaces the delta of a tick.
func (v *voyage) redelta(tick uint64, change func(*Delta)) {
	v.republish(func(all []Delta) []Delta {
		for i := range all {
			if all[i].Tick == tick {
				change(&all[i])
			}
		}
		return all
	})
}

// republish packs a changed stream again, as an owner would.
func (v *voyage) republish(change func([]Delta) []Delta) {
	v.t.Helper()
	var all []Delta
	for d, err := range v.m.Deltas().Read(context.Background(), 0) {
		if err != nil {
			v.t.Fatal(err)
		}
		all = append(all, d)
	}
	v.m.deltas, v.m.deltaSeq, v.deltas = nil, 0, v.m.Deltas()
	for _, d := range change(all) {
		v.delta(d)
	}
}

func TestCheckComparesEveryDeltaWithTheLog(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(*voyage)
		want   []string
	}{
		{"another body, soundly sealed", func(v *voyage) { v.redelta(33, func(d *Delta) { d.Body[len(d.Body)/2]++ }) }, []string{"deltas: broken|tick 33|re-simulation"}},
		{"another checksum", func(v *voyage) { v.redelta(33, func(d *Delta) { d.Checksum++ }) }, []string{"deltas: broken|tick 33|checksum"}},
		{"another record", func(v *voyage) { v.redelta(33, func(d *Delta) { d.RecordSeq++ }) }, []string{"deltas: broken|tick 33|record"}},
		{"another epoch", func(v *voyage) { v.redelta(33, func(d *Delta) { d.Epoch = 9 }) }, []string{"deltas: broken|tick 33|epoch"}},
		{"another lineage", func(v *voyage) { v.redelta(33, func(d *Delta) { d.Lineage = "other" }) }, []string{"deltas: broken|tick 33|lineage"}},
		{"bytes altered", func(v *voyage) { v.m.deltas[32].body[99] ^= 8 }, []string{"deltas: broken|tick 33: its bytes have the sum|so: the deltas of ticks 33 to 60 are missing or cannot be read"}},
		{"two left out", func(v *voyage) { v.m.deltas = append(v.m.deltas[:32:32], v.m.deltas[34:]...) }, []string{"tick 33|it is missing, and tick 35 builds on it|so: the deltas of ticks 33 to 60 are missing or cannot be read"}},
		{"one twice", func(v *voyage) { v.m.deltas = append(v.m.deltas[:33:33], v.m.deltas[32:]...) }, []string{"tick 33|it builds on the deltas from tick 17 on, and some of them are missing|so: the deltas of ticks 34 to 60 are missing or cannot be read"}},
		{"two left out of a group that another follows", func(v *voyage) { v.m.deltas = append(v.m.deltas[:5:5], v.m.deltas[7:]...) }, []string{"tick 6|it is missing, and tick 8 builds on it|so: the deltas of ticks 6 to 16 are missing or cannot be read"}},
		{"one published twice", func(v *voyage) { v.redelta(33, func(d *Delta) { d.Tick-- }) }, []string{"deltas: broken I2|tick 32|it comes after the delta of tick 32|so: the deltas of tick 33 are missing"}},
		{"the oldest dropped", func(v *voyage) { v.m.deltas = v.m.deltas[12:] }, nil},
		{"a tick that the log does not have", func(v *voyage) {
			v.delta(Delta{Lineage: testLineage, Epoch: 4, RecordSeq: v.chain.Seq() + 1, Tick: 61, Checksum: 5})
		}, []string{"log: broken I9|tick 61|history lost|so: messages of the delta stream about later ticks, from tick 61 on: 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := sail(t, 60)
			c.damage(v)
			finds(t, checkWith(t, v.source(), drift(0)), c.want...)
		})
	}
}

// tornDeltas is a delta stream whose Last fails, because its store must decode the damaged last message.
type tornDeltas struct{ DeltaReader }

func (tornDeltas) Last(context.Context) (Delta, bool, error) {
	return Delta{}, false, &CorruptError{What: "delta", Reason: "it is cut"}
}

func TestADamagedLastDeltaIsAFindingLikeAnyOther(t *testing.T) {
	v := sail(t, 100)
	body := v.m.deltas[99].body
	body[len(body)/2] ^= 1
	src := v.source()
	src.Deltas = tornDeltas{src.Deltas}
	r := checkWith(t, src, drift(0))
	if !r.Broken() || r.Resimulated != 100 || r.Snapshots == 0 {
		t.Errorf("%+v", r)
	}
}

func TestGapsAndUnpublishedDeltasAreWarnings(t *testing.T) {
	v := sail(t, 60)
	gap := Delta{Lineage: testLineage, Epoch: 1, RecordSeq: 20, Tick: 35, Gap: &Gap{FromTick: 33, ToTick: 35, Reason: "the node died"}}
	v.republish(func(all []Delta) []Delta { return append(append(all[:32:32], gap), all[35:57]...) })
	r := checkWith(t, v.source(), drift(0))
	finds(t, r, "deltas: warning|tick 33|no deltas of ticks 33 to 35: the node died", "deltas: warning|tick 58|the delta stream ends at tick 57, and the log at tick 60")
	if r.Broken() || r.Gaps != 1 || r.Deltas != 54 {
		t.Errorf("%+v", r)
	}
}

func TestCheckVerifiesEverySnapshotAgainstTheLog(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(*Snapshot)
		word   string
	}{
		{"another chain hash", func(s *Snapshot) { s.Chain[0]++ }, "chain hash"},
		{"another tick", func(s *Snapshot) { s.Tick-- }, "tick"},
		{"another world", func(s *Snapshot) {
			s.Body = bytes.Clone(s.Body)
			s.Body[len(s.Body)/2] ^= 1
		}, "snapshot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := sail(t, 60)
			s := v.m.snapshots[0]
			bad, err := DecodeSnapshot(s.body)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(&bad)
			if v.m.snapshots[0].body, err = bad.Encode(nil); err != nil {
				t.Fatal(err)
			}
			finds(t, checkWith(t, v.source(), drift(0)), "snapshots: broken|tick 50|"+c.word)
		})
	}
}

func TestPurgingBeyondTheOlderSnapshotIsFound(t *testing.T) {
	v := sail(t, 200)
	all, _ := v.m.Snapshots().List(context.Background())
	if err := v.m.Log().Purge(context.Background(), all[1].Seq+1); err != nil {
		t.Fatal(err)
	}
	finds(t, checkWith(t, v.source(), drift(0)), "log: broken I8|records before|1 verified snapshot,")
}

func TestCheckLimitsWhatItLists(t *testing.T) {
	v := sail(t, 60)
	v.m.deltas = v.m.deltas[:10]
	for tick := range uint64(10) {
		v.redelta(tick+1, func(d *Delta) { d.Checksum++ })
	}
	game := drift(0)
	r, err := Check(context.Background(), v.source(), CheckOptions{Game: &game, MaxFindings: 3})
	if err != nil || len(r.Findings) != 3 || r.Unlisted != 8 || !r.Broken() {
		t.Errorf("%v %d listed, %d not", err, len(r.Findings), r.Unlisted)
	}
}

func TestCheckOfAnEmptyStoreIsClean(t *testing.T) {
	m := NewMemory()
	r, err := Check(context.Background(), Source{Log: m.Log(), Deltas: m.Deltas(), Snapshots: m.Snapshots()}, CheckOptions{})
	if err != nil || len(r.Findings) > 0 {
		t.Error(err, r.Findings)
	}
}

// behind is a delta stream that its living owner completes while the check reads it.
type behind struct {
	DeltaReader
	late DeltaReader
	asks *int
}

func (b behind) Last(ctx context.Context) (Delta, bool, error) {
	if *b.asks++; *b.asks <= 2 { // by the rule of lost history, and by the walk along the stream
		return b.DeltaReader.Last(ctx)
	}
	return b.late.Last(ctx)
}

func TestADeltaStreamThatEndsEarlyIsExplainedTruly(t *testing.T) {
	v := sail(t, 60)
	short := sail(t, 60)
	short.m.deltas = short.m.deltas[:40]
	src := v.source()
	asks := 0
	src.Deltas = behind{short.m.Deltas(), v.m.Deltas(), &asks}
	finds(t, checkWith(t, src, drift(0))) // the owner is alive and was behind

	asks = 2 // its last message is that of the last tick, and yet reading it ends early
	finds(t, checkWith(t, src, drift(0)), "deltas: warning|tick 41|the delta stream ends at tick 40")

	finds(t, checkWith(t, short.source(), drift(0)),
		"deltas: warning|tick 41|the delta stream ends at tick 40, and the log at tick 60|--deltas off|ended before it published|behind")
	short.m.deltas = nil
	finds(t, checkWith(t, short.source(), drift(0)), "deltas: warning|tick 1|the delta stream is empty|dropped (by age or size)|--deltas off")
}
