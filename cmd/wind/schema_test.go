package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// as runs a verb of one of the builds to its end.
func as(t *testing.T, build string, wantExit int, v any, args ...string) *process {
	t.Helper()
	return windWith(t, "WIND_TEST_GAME="+build, args...).ends(wantExit, v)
}

// devArgs is a short dev on a data directory.
func devArgs(data, span string) []string {
	return []string{"dev", "--data", data, "--for", span, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--json"}
}

// TestOneStartOfAChangedGameHaltsNothing: a build whose schema cannot carry the shard over says which component and field
// differ and ends with 1; the old build goes on as if nothing had been.
func TestOneStartOfAChangedGameHaltsNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	var first, after struct {
		Tick, Epoch uint64
		LastSeq     uint64 `json:"last_seq"`
	}
	as(t, "first", 0, &first, devArgs(data, "2s")...)
	for build, says := range map[string]string{
		"renamed": "component mark is now spot",
		"field":   "component mark.Z (f32) was added",
		"other":   "the shard's game is marks, this node runs others",
	} {
		p := as(t, build, 1, nil, devArgs(data, "2s")...)
		if !strings.Contains(p.log(), says) {
			t.Errorf("the build %q does not say %q:\n%s", build, says, p.log())
		}
	}
	as(t, "first", 0, &after, devArgs(data, "1s")...)
	if after.Epoch != first.Epoch+1 || after.Tick <= first.Tick {
		t.Errorf("the old build goes on in epoch %d from tick %d, it left epoch %d and tick %d", after.Epoch, after.Tick, first.Epoch, first.Tick)
	}
}
