package node

import (
	"context"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// sealedLog is a log of which only the seal is read.
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
