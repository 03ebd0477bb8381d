package session

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// FuzzStream sends anything on a connection with a session: the hub and the world
// survive, and the world can use whatever enters a frame.
func FuzzStream(f *testing.F) {
	frames := func(pairs ...any) (b []byte) {
		for i := 0; i < len(pairs); i += 2 {
			b = frame.Append(b, uint32(pairs[i].(int)), pairs[i+1].([]byte))
		}
		return b
	}
	input := &wirepb.Input{Samples: []*wirepb.Sample{{Tick: 3, Seq: 1, Kind: kindAim, Payload: make([]byte, 4)}}, Ack: []byte{1, 2}}
	command := &wirepb.Command{Seq: 2, Kind: kindBuy, Payload: make([]byte, 200)}
	f.Add(frames(wirepb.IDInput, marshal(input), wirepb.IDCommand, marshal(command)))
	f.Add(frames(wirepb.IDAck, marshal(&wirepb.Ack{Body: []byte{1}}), wirepb.IDBye, []byte{}))
	f.Add(frames(wirepb.IDHello, []byte{}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		w, err := ecs.New(hubGame, ecs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := newHub(Config{}.withDefaults())
		h.now = time.Unix(1000, 0)
		if err := h.own(w, 1); err != nil {
			t.Fatal(err)
		}
		l := h.meet(&wire{addr: netip.MustParseAddrPort("127.0.0.1:1000")}, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann"}, nil)
		tick := func() {
			commands := h.latch(w, w.Tick()+1, nil, ecs.FrameBytes)
			w.Order(w.Tick()+1, commands)
			out := w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: commands})
			for _, failure := range out.Failures {
				t.Fatalf("%+v", failure)
			}
			h.release(w, 1, []ecs.Output{out})
		}
		tick()
		r := frame.NewReader(frame.MaxFromClient)
		r.Feed(stream)
		for {
			id, payload, ok, err := r.Next()
			if err != nil || !ok {
				break
			}
			h.receive(l, id, payload)
			h.receiveDatagram(l, id, payload)
		}
		for range 4 {
			tick()
		}
	})
}
