package session

import (
	"testing"

	"github.com/ferris1/wind/netcode/wirepb"
)

// TestAWrongCommandEndsWithASentenceThatSaysWhatIsWrong: it helps the author of a client find the mistake.
func TestAWrongCommandEndsWithASentenceThatSaysWhatIsWrong(t *testing.T) {
	sample := func(kind uint32, seq uint64, size int) func(r *rig, l *link) {
		return func(r *rig, l *link) {
			r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: 5, Seq: seq, Kind: kind, Payload: make([]byte, size)}}})
		}
	}
	command := func(kind uint32, seq uint64, size int) func(r *rig, l *link) {
		return func(r *rig, l *link) {
			r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: seq, Kind: kind, Payload: make([]byte, size)})
		}
	}
	for want, send := range map[string]func(r *rig, l *link){
		`the payload of command "aim" (kind 2) has 3 bytes, but its packed value has 4`:     sample(kindAim, 1, 3),
		`the payload of command "buy" (kind 3) has 201 bytes, but its packed value has 200`: command(kindBuy, 2, 201),
		`command "aim" is sampled: send it in Input, not in Command`:                        command(kindAim, 2, 4),
		`command "buy" is not sampled: send it in Command, not in Input`:                    sample(kindBuy, 1, 200),
		`no command has kind 99: the schema has 5 commands`:                                 sample(99, 1, 4),
		`only the server sends command "wind.leave"`:                                        command(1, 2, 0),
		`command "aim" has no seq: the first seq is 1`:                                      sample(kindAim, 0, 4),
	} {
		r := newRig(t, Config{})
		l := r.join()
		send(r, l)
		if reason, text := r.refusal(l); reason != wirepb.Reason_REASON_PROTOCOL || text != want {
			t.Errorf("ended with %v: %q, want %q", reason, text, want)
		}
	}
}
