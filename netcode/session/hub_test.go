package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

type (
	aim  struct{ X int32 }
	buy  struct{ What [200]uint8 }
	blob struct{ B [4096]uint8 }
)

var hubGame = ecs.Game{Name: "hub-test", TickRate: 10, Setup: func(w *ecs.World) {
	ecs.Handle[aim](w, "aim", func(*ecs.Tick, *ecs.Cmd[aim]) {}, ecs.Sampled)
	ecs.Handle[buy](w, "buy", func(*ecs.Tick, *ecs.Cmd[buy]) {})
	ecs.Handle[blob](w, "blob", func(*ecs.Tick, *ecs.Cmd[blob]) {})
}}

func (a aim) Validate() error {
	if a.X > 1000 {
		return errors.New("too far")
	}
	return nil
}

const (
	kindAim  = 2
	kindBuy  = 3
	kindBlob = 4
)

// rig is a hub with its world and a manual clock.
type rig struct {
	t *testing.T
	h *hub
	w *ecs.World
}

func newRig(t *testing.T, cfg Config) *rig { return rigOf(t, hubGame, cfg) }

func rigOf(t *testing.T, g ecs.Game, cfg Config) *rig {
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, newHub(cfg.withDefaults()), w}
	r.h.now = time.Unix(1000, 0)
	if err := r.h.own(w, 1); err != nil {
		t.Fatal(err)
	}
	return r
}

// successor returns a rig with the hub of the world's next owner.
func (r *rig) successor() *rig {
	r.t.Helper()
	next := &rig{r.t, newHub(Config{}.withDefaults()), r.w}
	next.h.now = r.h.now
	if err := next.h.own(r.w, 2); err != nil {
		r.t.Fatal(err)
	}
	return next
}

// tick latches, steps and releases one tick and returns its frame.
func (r *rig) tick(budget int) ecs.Frame {
	f := ecs.Frame{Tick: r.w.Tick() + 1}
	f.Commands = r.h.latch(r.w, f.Tick, nil, budget)
	r.w.Order(f.Tick, f.Commands)
	out := r.w.Step(f)
	r.h.release(r.w, 1, []ecs.Output{out})
	r.h.now = r.h.now.Add(100 * time.Millisecond)
	return f
}

func (r *rig) connect() *link {
	return r.hello("127.0.0.1:1000", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann"})
}

// hello connects from an address.
func (r *rig) hello(addr string, m *wirepb.Hello) *link {
	return r.h.meet(&wire{addr: netip.MustParseAddrPort(addr), seen: r.h.now}, m, nil)
}

// meet gives the hub a connection.
func (h *hub) meet(c Conn, m *wirepb.Hello, t *netcode.Ticket) *link {
	l := &link{conn: c, hello: m, ticket: t}
	h.hello(l)
	return l
}

// wire is a connection that keeps what is sent. It implements Conn.
type wire struct {
	addr   netip.AddrPort
	seen   time.Time
	out    []byte
	closed bool
}

func (c *wire) Addr() netip.AddrPort { return c.addr }
func (c *wire) Seen() time.Time      { return c.seen }
func (c *wire) Backlog() int         { return len(c.out) }
func (c *wire) Admit()               {}

func (c *wire) Elsewhere(_, text string) { c.Close(wirepb.Reason_REASON_NOT_OWNER, text) }

func (c *wire) Datagrams() bool { return false }

func (c *wire) TakeDatagrams(uint64, func(uint32, []byte) bool) {}

func (c *wire) Send(frames []byte) {
	if !c.closed {
		c.out = append(c.out, frames...)
	}
}

func (c *wire) SendMessage(id uint32, m proto.Message) {
	if !c.closed {
		c.out = frame.AppendMessage(c.out, id, m)
	}
}

func (c *wire) Close(reason wirepb.Reason, text string) {
	c.SendMessage(wirepb.IDBye, &wirepb.Bye{Reason: reason, Text: text})
	c.closed = true
}

// wireOf returns the connection of a link.
func wireOf(l *link) *wire { return l.conn.(*wire) }

func (r *rig) join() *link {
	l := r.connect()
	r.tick(1 << 20)
	if l.state != linkPlaying {
		r.t.Fatalf("state %d after the join's tick", l.state)
	}
	r.sent(l)
	return l
}

func (r *rig) receive(l *link, id uint32, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	wireOf(l).seen = r.h.now
	r.h.receive(l, id, b)
}

// sent returns and clears the messages queued on a link.
func (r *rig) sent(l *link) []proto.Message {
	var all []proto.Message
	reader := frame.NewReader(frame.MaxFromServer)
	reader.Feed(wireOf(l).out)
	wireOf(l).out = nil
	for {
		id, payload, ok, err := reader.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return all
		}
		m, err := wirepb.New(id)
		if err == nil {
			err = proto.Unmarshal(payload, m)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, m)
	}
}

// find returns the only sent message of a type.
func find[M proto.Message](r *rig, l *link) (found M) {
	r.t.Helper()
	n := 0
	for _, m := range r.sent(l) {
		if m, ok := m.(M); ok {
			found = m
			n++
		}
	}
	if n != 1 {
		r.t.Fatalf("%d messages of type %T were sent", n, found)
	}
	return found
}

func TestWelcomeComesOnlyWithTheRelease(t *testing.T) {
	r := newRig(t, Config{})
	l := r.connect()
	f := ecs.Frame{Tick: 1, Commands: r.h.latch(r.w, 1, nil, 1<<20)}
	out := r.w.Step(f).Clone()
	if len(f.Commands) != 1 || len(r.sent(l)) != 0 {
		t.Fatalf("%d commands; something was sent before the release", len(f.Commands))
	}
	// A record may hold several ticks: nothing is released in between.
	r.w.Step(ecs.Frame{Tick: 2, Commands: r.h.latch(r.w, 2, nil, 1<<20)})
	if len(r.sent(l)) != 0 {
		t.Fatal("something was sent before the release")
	}
	r.h.release(r.w, 1, []ecs.Output{out, {Tick: 2}})
	m := find[*wirepb.Welcome](r, l)
	if _, ok := r.w.Session(m.Session); !ok || m.Tick != 2 || m.AppliedSeq != 1 {
		t.Errorf("%v", m)
	}
}

func TestBudgetHoldsAndEveryoneGetsATurn(t *testing.T) {
	const budget = 5000
	r := newRig(t, Config{Accounts: NewAccounts(netcode.Limits{LogBytesPerIdentity: -1})})
	var links []*link
	for range 5 {
		links = append(links, r.join())
	}
	for _, l := range links {
		for i := range 3 {
			r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: uint64(2 + i), Kind: kindBlob, Payload: make([]byte, 4096)})
		}
	}
	used, turns := map[uint64]int{}, 0
	for range 15 {
		f := r.tick(budget)
		size := 0
		for _, c := range f.Commands {
			size += len(c.Payload)
			used[c.Source.ID]++
		}
		if turns++; turns == 5 && len(used) != 5 {
			t.Errorf("%d of 5 sessions got one of 5 turns", len(used))
		}
		if size > budget || len(f.Commands) != 1 {
			t.Fatalf("tick %d: %d commands of %d bytes", f.Tick, len(f.Commands), size)
		}
	}
	for _, l := range links {
		replies, waits := 0, 0
		for _, m := range r.sent(l) {
			switch m := m.(type) {
			case *wirepb.Reply:
				if m.Rejected {
					t.Errorf("%v", m)
				}
				replies++
			case *wirepb.Wait:
				waits++
			}
		}
		if replies != 3 || waits == 0 {
			t.Errorf("%d replies, %d Waits", replies, waits)
		}
	}
}

func TestInputsWithoutRoomAreToldToTheirSender(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: r.w.Tick() + 1, Seq: 1, Kind: kindAim, Payload: make([]byte, 4)}}})
	if f := r.tick(10); len(f.Commands) != 0 {
		t.Fatalf("%d commands in 10 bytes", len(f.Commands))
	}
	if m := find[*wirepb.Wait](r, l); m.Inputs != 1 {
		t.Errorf("%v", m)
	}
	if f := r.tick(1000); len(f.Commands) != 1 || f.Commands[0].Flags != ecs.FlagRepeated {
		t.Errorf("%+v", f.Commands)
	}
}

func TestTooManyCommandsAreAnsweredWithARefusal(t *testing.T) {
	r := newRig(t, Config{MaxCommands: 4})
	l := r.join()
	for i := range 6 {
		r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: uint64(2 + i), Kind: kindBuy, Payload: make([]byte, 200)})
	}
	refused := r.sent(l)
	if len(refused) != 2 || !refused[0].(*wirepb.Reply).Rejected || refused[0].(*wirepb.Reply).Seq != 6 {
		t.Fatalf("%v", refused)
	}
	r.tick(1 << 20)
	if n := len(r.sent(l)); n != 4 {
		t.Errorf("%d replies to the 4 queued commands", n)
	}
}

func TestACommandSentAgainIsAnsweredFromTheWorld(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	again := func() {
		r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: 2, Kind: kindBuy, Payload: make([]byte, 200)})
	}
	again()
	again() // before any tick used it
	if f := r.tick(1 << 20); len(f.Commands) != 1 {
		t.Fatalf("%d commands", len(f.Commands))
	}
	if n := len(r.sent(l)); n < 1 {
		t.Fatal("no reply")
	}
	again()
	if f := r.tick(1 << 20); len(f.Commands) != 0 {
		t.Fatal("the world got it twice")
	}
	if m := find[*wirepb.Reply](r, l); m.Seq != 2 || m.Unknown || m.Rejected {
		t.Errorf("%v", m)
	}
	for i := range 40 {
		r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: uint64(3 + i), Kind: kindBuy, Payload: make([]byte, 200)})
		r.tick(1 << 20)
	}
	r.sent(l)
	again()
	r.tick(1 << 20)
	if m := find[*wirepb.Reply](r, l); m.Seq != 2 || !m.Unknown {
		t.Errorf("an answer dropped long ago: %v", m)
	}
}

func TestARefusalThatWasLostIsSaidAgain(t *testing.T) {
	r := newRig(t, Config{MaxCommands: 1})
	l := r.join()
	for seq := uint64(2); seq < 4; seq++ {
		r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: seq, Kind: kindBuy, Payload: make([]byte, 200)})
	}
	r.tick(1 << 20)
	r.sent(l) // and it is lost with the connection
	r.receive(l, wirepb.IDCommand, &wirepb.Command{Seq: 3, Kind: kindBuy, Payload: make([]byte, 200)})
	r.tick(1 << 20)
	if m := find[*wirepb.Reply](r, l); m.Seq != 3 || !m.Rejected || m.Unknown {
		t.Errorf("%v", m)
	}
}

func TestNothingRepeatsWhileASessionIsParked(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: r.w.Tick() + 1, Seq: 1, Kind: kindAim, Payload: make([]byte, 4)}}})
	if f := r.tick(1000); len(f.Commands) != 1 {
		t.Fatalf("%d commands", len(f.Commands))
	}
	if f := r.tick(1000); len(f.Commands) != 1 {
		t.Fatalf("%d commands", len(f.Commands))
	}
	r.h.lost(l)
	if f := r.tick(1000); len(f.Commands) != 0 {
		t.Errorf("a session without a connection sent %+v", f.Commands)
	}
}

func (r *rig) aim(l *link, seq uint64, x uint32) {
	r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{
		{Tick: r.w.Tick() + 1, Seq: seq, Kind: kindAim, Payload: binary.LittleEndian.AppendUint32(nil, x)},
	}})
}

func TestAnInputThatTheGameRefusesDoesNotReachTheFrame(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l := r.join()
	r.aim(l, 1, 7)
	r.tick(1000)
	r.aim(l, 2, 1001)
	f := r.tick(1000)
	if len(f.Commands) != 1 || f.Commands[0].Payload[0] != 7 || f.Commands[0].Flags != ecs.FlagRepeated {
		t.Errorf("%+v", f.Commands)
	}
	r.aim(l, 3, 1002)
	r.tick(1000)
	if r.h.stats.InputsInvalid != 2 {
		t.Errorf("%d invalid inputs were counted", r.h.stats.InputsInvalid)
	}
	if n := strings.Count(log.String(), "refuses a client's input"); n != 1 {
		t.Errorf("%d lines tell it: %s", n, &log)
	}
}

func TestNothingRepeatsAfterAResumeUntilAnInputComes(t *testing.T) {
	r := newRig(t, Config{})
	l := r.connect()
	r.tick(1000)
	w := find[*wirepb.Welcome](r, l)
	r.aim(l, 1, 7)
	r.tick(1000)
	r.h.lost(l)
	again := r.hello("127.0.0.1:1002", &wirepb.Hello{
		Protocol: wirepb.Protocol, Identity: "ann",
		Resume: &wirepb.Resume{Session: w.Session, Token: w.Token, LastTick: r.w.Tick()},
	})
	r.tick(1000)
	if m := find[*wirepb.Welcome](r, again); !m.Resumed || m.InputSeq != 1 {
		t.Errorf("%v", m)
	}
	if f := r.tick(1000); len(f.Commands) != 0 {
		t.Errorf("%+v", f.Commands)
	}
	r.aim(again, 2, 8)
	if f := r.tick(1000); len(f.Commands) != 1 || f.Commands[0].Payload[0] != 8 {
		t.Errorf("%+v", f.Commands)
	}
}

func TestMessagesOutOfPlaceEndTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		playing bool
		id      uint32
		payload []byte
	}{
		"an input before the welcome":  {false, wirepb.IDInput, nil},
		"a second hello":               {true, wirepb.IDHello, nil},
		"an unknown message":           {true, 4711, nil},
		"a server's message":           {true, wirepb.IDUpdate, nil},
		"a malformed message":          {true, wirepb.IDInput, []byte{0xFF, 0xFF}},
		"a reserved message":           {true, 1001, nil},
		"an input of no such kind":     {true, wirepb.IDInput, marshal(&wirepb.Input{Samples: []*wirepb.Sample{{Tick: 2, Seq: 1, Kind: 99}}})},
		"an input of a reliable kind":  {true, wirepb.IDInput, marshal(&wirepb.Input{Samples: []*wirepb.Sample{{Tick: 2, Seq: 1, Kind: kindBuy, Payload: make([]byte, 200)}}})},
		"an input of another size":     {true, wirepb.IDInput, marshal(&wirepb.Input{Samples: []*wirepb.Sample{{Tick: 2, Seq: 1, Kind: kindAim, Payload: make([]byte, 5)}}})},
		"a join sent by the client":    {true, wirepb.IDCommand, marshal(&wirepb.Command{Seq: 2, Kind: ecs.KindJoin, Payload: make([]byte, 81)})},
		"a command of a sampled kind":  {true, wirepb.IDCommand, marshal(&wirepb.Command{Seq: 2, Kind: kindAim, Payload: make([]byte, 4)})},
		"a command without its number": {true, wirepb.IDCommand, marshal(&wirepb.Command{Kind: kindBuy, Payload: make([]byte, 200)})},
	} {
		r := newRig(t, Config{})
		l := r.connect()
		if c.playing {
			r.tick(1 << 20)
			r.sent(l)
		}
		r.h.receive(l, c.id, c.payload)
		if m := find[*wirepb.Bye](r, l); m.Reason != wirepb.Reason_REASON_PROTOCOL {
			t.Errorf("%s: %v", name, m)
		}
		r.tick(1 << 20) // and the hub survives
	}
}

func marshal(m proto.Message) []byte {
	b, _ := proto.Marshal(m)
	return b
}

// TestUpdateBytesAreItsProtobuf compares the hand-written encoding of updates with
// the generated one.
func TestUpdateBytesAreItsProtobuf(t *testing.T) {
	for _, u := range []header{{}, {1, 2, 3, 4}, {tick: 1 << 40, checksum: 1 << 63, epoch: 7, durable: 300}} {
		for _, slack := range []int32{0, 1, -1, 256, -70000} {
			for _, body := range [][]byte{nil, []byte("body")} {
				want := marshal(&wirepb.Update{
					Tick: u.tick, Checksum: u.checksum, Epoch: u.epoch, Durable: u.durable,
					Slack: slack, InputTick: u.tick + 2, Body: body,
				})
				if got := u.appendUpdate(nil, slack, u.tick+2, body); !bytes.Equal(got, want) {
					t.Errorf("%+v: got %x, want %x", u, got, want)
				}
			}
		}
	}
}

// TestARoomThatIsOverSaysSo: to those who play, to those who wait, and to those who come later.
func TestARoomThatIsOverSaysSo(t *testing.T) {
	r := newRig(t, Config{})
	plays := r.join()
	waits := r.connect()
	r.h.end("the room has ended after tick 7: its game ended it")
	for name, l := range map[string]*link{"plays": plays, "waits": waits, "comes later": r.connect()} {
		if reason, text := r.refusal(l); reason != wirepb.Reason_REASON_ENDED || !strings.Contains(text, "after tick 7") {
			t.Errorf("who %s hears %v: %q", name, reason, text)
		}
	}
	if len(r.h.links) != 0 || r.h.owned {
		t.Errorf("%d connections, owned: %v", len(r.h.links), r.h.owned)
	}
}
