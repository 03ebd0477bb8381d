package bench

import (
	"context"
	"testing"
	"time"
)

func TestRPCMeasuresBothHandlers(t *testing.T) {
	for _, script := range []bool{false, true} {
		r, err := RPC(context.Background(), RPCOptions{Connections: 4, Depths: []int{1, 4}, Rounds: 1, For: 200 * time.Millisecond, Script: script, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Depths) != 2 {
			t.Fatalf("%+v", r)
		}
		for _, d := range r.Depths {
			if d.Wind.Requests == 0 || d.Wind.Failed != 0 || d.Wind.Connections != 4 || d.Bare.Requests == 0 || d.Ratio != d.Bare.PerSecond/d.Wind.PerSecond {
				t.Errorf("script %v: %+v", script, d)
			}
			t.Logf("script %v: %+v", script, d)
		}
	}
}
