package jetstream

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestAPurgeOfAnotherProcessIsNoLoss: a process that does not own the server's store cannot write the log's mark. Its
// purge is nevertheless known, but records that something else removed from the front of the log are not taken as
// purged.
func TestAPurgeOfAnotherProcessIsNoLoss(t *testing.T) {
	for _, noted := range []bool{true, false} {
		ctx, server := testContext(t), startServer(t, ServerConfig{Port: -1})
		s := createShard(t, connectTo(t, server))
		appendTicks(t, s, 20)
		c := connectTo(t, server)
		c.dir = "" // as in a connection of another process
		other, err := Open(ctx, c, "dev", "main", testLineage, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.log.Purge(ctx, 9); err != nil {
			t.Fatal(err)
		}
		if !noted {
			if err := other.log.stream.Purge(ctx, jetstream.WithPurgeSequence(12)); err != nil {
				t.Fatal(err)
			}
		}
		other.Close()
		again, err := Open(ctx, connectTo(t, server), "dev", "main", testLineage, Options{}) // by the store's own process
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		if m, err := readMark(server.Dir(), "WIND_dev_main"); m.floor != 9 {
			t.Errorf("the mark says that the log may begin at %d: %v", m.floor, err)
		}
		s.Close()
		server.Close()
		states, err := CheckStore(ctx, server.Dir())
		if noted && (err != nil || len(states) != 1 || states[0].First != 9) {
			t.Errorf("after a purge: %+v, %v", states, err)
		}
		if !noted && err == nil {
			t.Errorf("a log that somebody emptied: %+v", states)
		}
	}
}
