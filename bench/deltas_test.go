package bench

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

// TestPackedDeltasTakeAtMostHalf: they also unpack byte for byte, or Deltas returns an error.
func TestPackedDeltasTakeAtMostHalf(t *testing.T) {
	r, err := Deltas(context.Background(), DeltaOptions{Ticks: 90, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Scenarios {
		t.Logf("%s: %.0f bytes per tick, packed %.0f: %.3f", s.Name, s.Plain, s.Packed, s.Ratio)
		if s.Plain < 1000 || s.Packed <= 0 || s.State == 0 || s.Ratio > TargetDeltas || !s.Pass {
			t.Errorf("%+v", s)
		}
	}
	if len(r.Scenarios) != 4 || !r.Pass || len(r.Failed) != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestDeltasRefusesNonsenseAndStops(t *testing.T) {
	if _, err := Deltas(context.Background(), DeltaOptions{Ticks: -1}); err == nil {
		t.Error("-1 ticks were accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Deltas(ctx, DeltaOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}
