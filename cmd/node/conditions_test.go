package node

import (
	"bytes"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/shard"
)

// TestConditionsAreToldWhenTheyBeginAndEnd: a condition that disappears briefly between two attempts is not over.
func TestConditionsAreToldWhenTheyBeginAndEnd(t *testing.T) {
	var out bytes.Buffer
	log, known := slog.New(slog.NewTextHandler(&out, nil)), map[shard.ConditionKind]told{}
	begin := time.Now()
	silent := []shard.Condition{{Kind: shard.AwaitsNATS, Text: "NATS is silent", Since: begin, Stops: true}}
	for i, holds := range [][]shard.Condition{silent, silent, nil, nil, silent, nil, nil, nil, nil, nil, nil} {
		tell(log, known, holds, begin.Add(time.Duration(i)*time.Second))
	}
	said := out.String()
	if strings.Count(said, "NATS is silent") != 1 || strings.Count(said, "the condition is over") != 1 || !strings.Contains(said, "after=5s") || !strings.Contains(said, "level=ERROR") {
		t.Errorf("the log says:\n%s", said)
	}
}

// TestWhatEndedAHostLingersWhileTheNextOneTries: who looks between two attempts reads why the shard is not served.
func TestWhatEndedAHostLingersWhileTheNextOneTries(t *testing.T) {
	now := time.Now()
	full, awaits := shard.Condition{Kind: shard.LogFull}, []shard.Condition{{Kind: shard.AwaitsOwner}}
	l := lingering{full, now.Add(overAfter)}
	for name, c := range map[string]struct{ got, want []shard.Condition }{
		"it tries":            {l.with(nil, false, now), []shard.Condition{full}},
		"it owns the shard":   {l.with(nil, true, now), nil},
		"it waits for itself": {l.with(awaits, false, now), awaits},
		"it takes long":       {l.with(nil, false, now.Add(overAfter)), nil},
		"nothing ended one":   {lingering{}.with(nil, false, now), nil},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}
