package node

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard/room"
)

// sealedLog is a log whose reader asks only for the seal.
type sealedLog struct {
	persistence.LogReader
	seal persistence.Record
}

func (l *sealedLog) Last(context.Context) (persistence.Seq, error) { return l.seal.Seq, nil }

func (l *sealedLog) Get(context.Context, persistence.Seq) (persistence.Message, error) {
	body, err := l.seal.Encode(nil)
	return l.seal.Message(body), err
}

// TestARoomHasEndedWhateverItsResult: a build whose result has other fields, or none of that name, still says that the room has
// ended. Otherwise its node would open the sealed log again and again.
func TestARoomHasEndedWhateverItsResult(t *testing.T) {
	for name, c := range map[string]struct {
		result ecs.Message
		want   string
		fails  bool
	}{
		"its own":        {ecs.Message{Name: "score", Payload: ecs.PackValue(nil, matchScore{3, 2, 7})}, `{"red":3,"blue":2,"seed":7}`, false},
		"other fields":   {ecs.Message{Name: "score", Payload: []byte{3, 0, 0, 0}}, "", true},
		"another name":   {ecs.Message{Name: "points", Payload: []byte{3}}, "", false},
		"nothing at all": {ecs.Message{Name: "score"}, "", true},
	} {
		log := &sealedLog{seal: persistence.Record{Seq: 9, Kind: persistence.KindSeal, Epoch: 1, Seal: &persistence.Seal{Node: "a", Tick: 40, Reason: persistence.EndResult, Result: &c.result}}}
		end, err := endOf(t.Context(), log, match, ecs.Config{})
		if end == nil || end.Tick != 40 || end.Name != c.result.Name || string(end.Result) != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %+v, %v", name, end, err)
		}
	}
}

// TestWhoeverWantsAnArchiveIsHeard: no node has a place for archives, and the log of a room that asks for one stays. An operator hears of
// it once.
func TestWhoeverWantsAnArchiveIsHeard(t *testing.T) {
	t.Parallel() // mostly waits
	log := &logged{}
	n := startRooms(t, func(c *Config) {
		c.patience, c.Logger = patience{place: 100 * time.Millisecond}, slog.New(slog.NewTextHandler(log, nil))
	})
	becomes(t, n, plays(t, n, "kept", room.KeepLog), room.Sealed)
	for _, key := range []string{"a", "b"} {
		becomes(t, n, plays(t, n, key, room.KeepArchive), room.Sealed)
	}
	eventually(t, "the log says what is missing", func() bool { return log.has("want an archive", "--archive DIR") })
	log.mu.Lock()
	defer log.mu.Unlock()
	told := 0
	for _, line := range log.all {
		if strings.Contains(line, "want an archive") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("it says so %d times", told)
	}
}
