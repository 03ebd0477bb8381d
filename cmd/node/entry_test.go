package node

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
)

// netcode and persistence do not import each other, so each states what an entry of a store may be.
func TestServicesKnowTheLimitsOfTheStore(t *testing.T) {
	key, value := strings.Repeat("k", jetstream.MaxKey), make([]byte, jetstream.MaxValue)
	for what, c := range map[string]struct {
		key   string
		value []byte
		fits  bool
	}{
		"the largest entry":       {key, value, true},
		"a key that is too long":  {key + "k", nil, false},
		"a value that is too big": {key, append(value, 0), false},
	} {
		if err := rpc.CheckEntry(c.key, c.value); (err == nil) != c.fits {
			t.Errorf("%s: %v", what, err)
		}
	}
}
