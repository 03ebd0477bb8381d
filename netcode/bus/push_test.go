package bus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// mailbox records pushes as "player message payload".
type mailbox struct {
	mu  sync.Mutex
	got []string
}

func (m *mailbox) take(player string, p rpc.Push) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, fmt.Sprintf("%s %s %d %s %s", player, p.Message, p.ID, p.Format, p.Payload))
}

func (m *mailbox) list() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

func (m *mailbox) must(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("pushes %q arrive, got %q", want, m.list()), func() bool { return len(m.list()) >= len(want) })
	if got := m.list(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("pushes %q, want %q", got, want)
	}
}

func TestPushReachesThePlayersGatewayAlone(t *testing.T) {
	s := startNATS(t)
	var boxes [2]mailbox
	gateways := [2]*Bus{openBus(t, s), openBus(t, s)}
	cancels := [2]func(){}
	for i, g := range gateways {
		if err := g.Players(boxes[i].take); err != nil {
			t.Fatal(err)
		}
		var err error
		if cancels[i], err = g.Subscribe(fmt.Sprintf("player %d/😀.*>", i)); err != nil {
			t.Fatal(err)
		}
		if err := g.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	b := openBus(t, s)
	push := func(player, text string, format rpc.Format) {
		t.Helper()
		if err := b.Push(player, rpc.Push{Message: "News", ID: 1006, Format: format, Payload: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	push("player 0/😀.*>", "a", rpc.Protobuf)
	push("player 1/😀.*>", "b", rpc.JSON)
	push("player 2", "nobody's", rpc.JSON)
	push("", "c", rpc.Protobuf)
	boxes[0].must(t, "player 0/😀.*> News 1006 protobuf a", " News 1006 protobuf c")
	boxes[1].must(t, "player 1/😀.*> News 1006 json b", " News 1006 protobuf c")

	cancels[0]()
	cancels[0]()
	if err := gateways[0].nc.Flush(); err != nil {
		t.Fatal(err)
	}
	push("player 0/😀.*>", "too late", rpc.Protobuf)
	push("", "d", rpc.Protobuf)
	boxes[0].must(t, "player 0/😀.*> News 1006 protobuf a", " News 1006 protobuf c", " News 1006 protobuf d")
	if n := gateways[1].Stats(); n.Players != 1 || n.Malformed != 0 || n.PushesDropped != 0 {
		t.Fatalf("%+v", n)
	}
}

func TestTwoSubscriptionsToOnePlayerAreOne(t *testing.T) {
	s := startNATS(t)
	var box mailbox
	g := openBus(t, s)
	if _, err := g.Subscribe("p"); err == nil {
		t.Fatal("subscribed without a handler")
	}
	if err := g.Players(box.take); err != nil {
		t.Fatal(err)
	}
	if err := g.Players(box.take); err == nil {
		t.Fatal("two handlers")
	}
	first, err := g.Subscribe("p")
	if err != nil {
		t.Fatal(err)
	}
	second, err := g.Subscribe("p")
	if err != nil {
		t.Fatal(err)
	}
	first()
	first()
	if err := g.Push("p", rpc.Push{Message: "One", ID: 1}); err != nil {
		t.Fatal(err)
	}
	box.must(t, "p One 1 protobuf ")
	second()
	if n := g.Stats().Players; n != 0 {
		t.Fatalf("%d players", n)
	}
	if _, err := g.Subscribe(" p"); err == nil {
		t.Fatal("a name with a space in front")
	}
	g.Close()
	if _, err := g.Subscribe("p"); err == nil {
		t.Fatal("a closed bus")
	}
	second()
}

func TestTooManyPushesAreDroppedAndCounted(t *testing.T) {
	s := startNATS(t)
	g, b := openBus(t, s), openBus(t, s)
	gate := make(chan struct{})
	var box mailbox
	if err := g.Players(func(player string, p rpc.Push) { <-gate; box.take(player, p) }); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Subscribe("p"); err != nil {
		t.Fatal(err)
	}
	if err := g.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	const n = maxPushes + 500
	for range n {
		if err := b.Push("p", rpc.Push{Message: "News", ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the excess is counted", func() bool { return int(g.Stats().PushesDropped)+g.Stats().PushesWaiting+1 == n })
	if lost := g.Stats().PushesDropped; lost != 499 {
		t.Fatalf("%d of %d were lost", lost, n)
	}
	close(gate)
	eventually(t, "the rest arrives", func() bool { return len(box.list()) == maxPushes+1 })
}

func TestBadPushesAreLeftOut(t *testing.T) {
	s := startNATS(t)
	var box mailbox
	g := openBus(t, s)
	if err := g.Players(box.take); err != nil {
		t.Fatal(err)
	}
	for _, h := range []nats.Header{{}, {headerMessage: {"A"}}, {headerMessage: {"A"}, headerID: {"0"}}, {headerMessage: {"A"}, headerID: {"4294967296"}}, {headerMessage: {"A b"}, headerID: {"1"}}} {
		if err := g.nc.PublishMsg(&nats.Msg{Subject: "windrpc.dev.players", Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Push("", rpc.Push{Message: "Good", ID: 1}); err != nil {
		t.Fatal(err)
	}
	box.must(t, " Good 1 protobuf ")
	if n := g.Stats().Malformed; n != 5 {
		t.Fatalf("%d malformed", n)
	}
	for _, p := range []rpc.Push{{}, {Message: "A"}, {Message: "A", ID: 1 << 31}, {Message: "A\r\n", ID: 1}, {Message: "A", ID: 1, Payload: make([]byte, MaxPayload+1)}} {
		wantError(t, g.Push("", p), rpc.InvalidArgument, false)
	}
	wantError(t, g.Push("a\nb", rpc.Push{Message: "A", ID: 1}), rpc.InvalidArgument, false)
}

func TestThoseWhoAskAreToldThatTheConnectionIsBack(t *testing.T) {
	s := startNATS(t)
	p := newProxy(t, s.Addr().String())
	b := busOn(t, dial(t, "nats://"+p.addr))
	var back, gone atomic.Int64
	b.Reconnected(func() { back.Add(1) })
	b.Reconnected(func() { gone.Add(1) })()
	for n := int64(1); n <= 3; n++ {
		p.cut(true)
		eventually(t, "the connection is lost", func() bool { return !b.nc.IsConnected() })
		p.cut(false)
		eventually(t, "it learns that the connection is back", func() bool { return back.Load() == n })
	}
	if gone.Load() != 0 {
		t.Errorf("called %d times after cancel", gone.Load())
	}
}
