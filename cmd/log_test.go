package cmd

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/persistence"
)

func TestACheckSaysWhatADamagedLogIsStillGoodFor(t *testing.T) {
	finding := func(where string) persistence.Finding {
		return persistence.Finding{Where: where, Seq: 9, Tick: 8, What: "it is missing", Then: []string{"ticks 9 to 20 not re-simulated"}}
	}
	all, part := []persistence.TickRange{{First: 1, Last: 50}}, []persistence.TickRange{{First: 1, Last: 7}, {First: 21, Last: 50}}
	for _, c := range []struct {
		where string
		file  bool
		sound []persistence.TickRange
		want  []string
	}{
		{"log", true, part, []string{"BROKEN log: sequence 9, tick 8: it is missing", "  so: ticks 9 to 20 not re-simulated", "export the log again from its shard", "replay works for ticks 1 to 7, ticks 21 to 50: with --to, and with --from-snapshot"}},
		{"log", false, part[:1], []string{"keep this log as it is", "replay works for ticks 1 to 7: with --to"}},
		{"log", true, nil, []string{"no tick can be replayed"}},
		{"deltas", true, all, []string{"the log itself is whole here; log export --no-deltas leaves the deltas out", "replay works for all ticks 1 to 50"}},
		{"snapshots", false, all, []string{"it alone decides: its shard recovers"}},
	} {
		var log persistence.Report
		log.FirstTick, log.LastTick, log.Ticks, log.Sound, log.Findings = 1, 50, 50, c.sound, []persistence.Finding{finding(c.where)}
		r := reportOf(log)
		r.OK = false
		text := strings.Join(append(checkLines(r), wayOut(r, c.file)...), "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s, file %v: no %q in\n%s", c.where, c.file, want, text)
			}
		}
	}
}
