package rpc

import (
	"strings"
	"testing"
)

func TestPlayersNames(t *testing.T) {
	for _, good := range []string{"a", "bob", "Ann Lee", "zoë", strings.Repeat("x", MaxPlayer)} {
		if err := ValidPlayer(good); err != nil {
			t.Error(err)
		}
	}
	for bad, why := range map[string]string{
		"": "name is empty", strings.Repeat("x", MaxPlayer+1): "more than 128", "\xff": "UTF-8", " bob": "space", "bob\t": "space", "bob\u00a0": "space", "b\x00b": "control", "b\u0085b": "control",
	} {
		if err := ValidPlayer(bad); err == nil || ErrorOf(err).Code != InvalidArgument || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", bad, err, why)
		}
	}
}
