package jetstream

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestSequenceOfADeliveredMessage(t *testing.T) {
	for reply, want := range map[string]uint64{
		"$JS.ACK.WIND_dev_main.abc.1.812.3.1795393303828221752.0":            812,
		"$JS.ACK._.hash.WIND_dev_main.abc.1.813.3.1795393303828221752.0":     813,
		"$JS.ACK.hub.hash.WIND_dev_main.abc.1.814.3.1795393303828221752.0.x": 814,
		"": 0, "$JS.ACK.x": 0, "_INBOX.a.b.c.d.e.5.g.h": 0, "$JS.ACK.a.b.1.no.3.4.0": 0,
	} {
		got, err := streamSequence(&nats.Msg{Reply: reply})
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", reply, got, err)
		}
	}
}
