package cmd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ferris1/wind/persistence/jetstream"
)

// TestAnUnknownShardIsToldWhatThereIs: a cluster of thousands of rooms does not fill the screen.
func TestAnUnknownShardIsToldWhatThereIs(t *testing.T) {
	f := sourceFlags{cluster: "dev", shard: "mian"}
	var refs []jetstream.Ref
	for i := range 2000 {
		refs = append(refs, jetstream.Ref{Cluster: "dev", Shard: fmt.Sprintf("room-%04d", i)})
	}
	for n, want := range map[int]string{0: "has no shard here", 1: "it has room-0000: name", 10: "room-0009: name", 2000: "room-0009 and 1990 more: name"} {
		if err := f.unknown(refs[:n]); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("of %d shards: %v", n, err)
		}
	}
	f.shard = "r-7h3k5qzv"
	if err := f.unknown(refs); err == nil || !strings.Contains(err.Error(), "room show r-7h3k5qzv") {
		t.Errorf("of a room whose log was removed: %v", err)
	}
}
