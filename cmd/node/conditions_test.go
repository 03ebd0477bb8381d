package node

import (
	"bytes"
	"log/slog"
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
	if strings.Count(said, "NATS is silent") != 1 || strings.Count(said, "this is over") != 1 || !strings.Contains(said, "after=5s") || !strings.Contains(said, "level=ERROR") {
		t.Errorf("the log says:\n%s", said)
	}
}
