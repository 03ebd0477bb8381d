package session

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// model is a client of the random test: what it has sent and received.
type model struct {
	link     *link
	reader   *frame.Reader
	session  uint64
	token    []byte
	seen     uint64 // newest tick
	next     uint64 // of its commands
	inputSeq uint64
	open     map[uint64]bool // commands without a reply
	welcomed bool            // on this connection
}

// promises holds the hub, the log and the clients of the random test.
type promises struct {
	t       *rapid.T
	h       *hub
	w       *ecs.World
	log     []ecs.Frame // committed
	pending []ecs.Output
	frames  []ecs.Frame // of pending
	clients []*model
	ports   uint16
	epoch   uint64
	now     time.Time
}

func (p *promises) host(epoch uint64) {
	p.h, p.epoch = newHub(Config{MaxSessions: 6, MaxCommands: 2}.withDefaults()), epoch
	p.h.now = p.now
	w, err := ecs.New(hubGame, ecs.Config{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range p.log {
		w.Step(f)
	}
	p.w, p.pending, p.frames = w, nil, nil
	if err := p.h.own(w, epoch); err != nil {
		p.t.Fatal(err)
	}
}

func (p *promises) tick() {
	f := ecs.Frame{Tick: p.w.Tick() + 1}
	budget := rapid.SampledFrom([]int{0, 300, 3000, 1 << 20}).Draw(p.t, "budget")
	f.Commands = p.h.latch(p.w, f.Tick, nil, budget)
	size := 0
	for _, c := range f.Commands {
		size += len(c.Payload)
	}
	if size > budget {
		p.t.Fatalf("%d bytes in a budget of %d", size, budget)
	}
	p.w.Order(f.Tick, f.Commands)
	out := p.w.Step(f)
	for _, x := range out.Failures {
		p.t.Fatalf("tick %d: %+v", f.Tick, x)
	}
	p.pending = append(p.pending, out.Clone())
	p.frames = append(p.frames, f)
}

func (p *promises) commit() {
	if len(p.pending) == 0 {
		return
	}
	p.log = append(p.log, p.frames...)
	p.h.release(p.w, p.epoch, p.pending)
	p.pending, p.frames = nil, nil
}

func (p *promises) connect(c *model) {
	p.ports++
	c.reader, c.welcomed = frame.NewReader(frame.MaxFromServer), false
	m := &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann", Datagrams: true}
	if c.session != 0 {
		m.Resume = &wirepb.Resume{Session: c.session, Token: c.token, LastTick: c.seen}
	}
	c.link = p.h.meet(&wire{addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.ports), seen: p.now}, m, nil)
}

func (p *promises) command(c *model, seq uint64) {
	if c.link != nil && c.link.state == linkPlaying {
		p.h.receive(c.link, wirepb.IDCommand, marshal(&wirepb.Command{Seq: seq, Kind: kindBuy, Payload: make([]byte, 200)}))
	}
}

// listen reads what a client was sent and checks the server's promises.
func (p *promises) listen(c *model) {
	if c.link == nil {
		return
	}
	c.reader.Feed(wireOf(c.link).out)
	wireOf(c.link).out = nil
	for {
		id, payload, ok, err := c.reader.Next()
		if err != nil {
			p.t.Fatal(err)
		}
		if !ok {
			break
		}
		m, err := wirepb.New(id)
		if err == nil {
			err = proto.Unmarshal(payload, m)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		p.told(c, m)
	}
	if c.link.state == linkClosed {
		c.link = nil
	}
}

func (p *promises) told(c *model, m proto.Message) {
	committed := uint64(len(p.log))
	saw := func(tick uint64) {
		if tick > committed {
			p.t.Fatalf("a client heard of tick %d, the log ends at %d", tick, committed)
		}
		c.seen = max(c.seen, tick)
	}
	switch m := m.(type) {
	case *wirepb.Welcome:
		saw(m.Tick)
		if c.session != 0 && (m.Session != c.session || !m.Resumed) {
			p.t.Fatalf("session %d became %d", c.session, m.Session)
		}
		c.session, c.token, c.welcomed = m.Session, m.Token, true
		if c.next <= m.AppliedSeq {
			c.next = m.AppliedSeq + 1
		}
		for seq := uint64(2); seq < c.next; seq++ {
			if c.open[seq] {
				p.command(c, seq)
			}
		}
	case *wirepb.Reply:
		saw(m.Tick)
		delete(c.open, m.Seq)
	case *wirepb.Control:
		saw(m.Tick)
	case *wirepb.Bye:
		switch m.Reason {
		case wirepb.Reason_REASON_PROTOCOL, wirepb.Reason_REASON_AHEAD_OF_LOG, wirepb.Reason_REASON_BAD_TOKEN, wirepb.Reason_REASON_SLOW:
			p.t.Fatalf("an honest client got %v", m)
		case wirepb.Reason_REASON_UNKNOWN_SESSION, wirepb.Reason_REASON_LEFT:
			c.session, c.open, c.next = 0, map[uint64]bool{}, 0
		}
	}
}

// TestTheHubKeepsItsPromises plays random clients, drops, resumes, stalls, crashes
// and successors. No client hears of a tick that is missing from the log, every
// command is used at most once and answered in the end, and the counters add up.
func TestTheHubKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &promises{t: t, now: time.Unix(1000, 0), ports: 1000}
		p.host(1)
		for range 4 {
			p.clients = append(p.clients, &model{open: map[uint64]bool{}})
		}
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			c := p.clients[rapid.IntRange(0, len(p.clients)-1).Draw(t, "client")]
			playing := c.link != nil && c.welcomed && c.link.state == linkPlaying
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1:
				if c.link == nil {
					p.connect(c)
				}
			case 2, 3:
				p.tick()
				if rapid.Bool().Draw(t, "commit") || len(p.pending) == 8 {
					p.commit()
				}
			case 4:
				p.tick()
				p.commit()
			case 5, 6:
				for n := rapid.IntRange(1, 4).Draw(t, "commands"); n > 0 && playing && len(c.open) < 20; n-- {
					c.open[c.next] = true
					p.command(c, c.next)
					c.next++
				}
			case 7:
				if playing {
					c.inputSeq++
					tick := uint64(max(1, int(p.h.latched)+rapid.IntRange(-2, 5).Draw(t, "ahead")))
					p.h.receive(c.link, wirepb.IDInput, marshal(&wirepb.Input{Samples: []*wirepb.Sample{
						{Tick: tick, Seq: c.inputSeq, Kind: kindAim, Payload: make([]byte, 4)},
					}}))
				}
			case 8:
				if c.link != nil { // the network breaks; what was in flight is lost
					if rapid.Bool().Draw(t, "lost on the way") {
						wireOf(c.link).out = nil
					} else {
						p.listen(c)
					}
					if c.link != nil {
						p.h.lost(c.link)
						c.link = nil
					}
				}
			case 9:
				p.now = p.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
				p.h.now = p.now
				for _, c := range p.clients {
					if c.link != nil {
						wireOf(c.link).seen = p.now // it pings
					}
				}
				p.h.expire()
			case 10: // a crash: uncommitted ticks are lost
				if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
					for _, c := range p.clients {
						p.listen(c)
						c.link = nil
					}
					p.host(p.epoch + 1)
				}
			case 11:
				if playing && rapid.IntRange(0, 3).Draw(t, "leave") == 0 {
					p.h.receive(c.link, wirepb.IDBye, nil)
				}
			}
			for _, c := range p.clients {
				if rapid.Bool().Draw(t, "listens") {
					p.listen(c)
				}
			}
		}
		p.settle()
	})
}

// settle reconnects all clients and expects an answer to every command.
func (p *promises) settle() {
	for range 200 {
		p.now = p.now.Add(time.Second) // sessions whose Welcome was lost leave by then
		p.h.now = p.now
		f := ecs.Frame{Tick: p.w.Tick() + 1}
		f.Commands = p.h.latch(p.w, f.Tick, nil, 1<<20)
		p.w.Order(f.Tick, f.Commands)
		out := p.w.Step(f)
		p.pending, p.frames = append(p.pending, out.Clone()), append(p.frames, f)
		p.commit()
		for _, c := range p.clients {
			p.listen(c)
			if c.link == nil {
				p.connect(c)
			} else {
				wireOf(c.link).seen = p.now // it pings
			}
		}
		p.h.expire()
	}
	used := map[string]int{}
	for _, f := range p.log {
		for _, c := range f.Commands {
			if c.Kind == kindBuy {
				key := fmt.Sprint(c.Source.ID, "/", c.Seq)
				if used[key]++; used[key] > 1 {
					p.t.Fatalf("command %s is in the log twice", key)
				}
			}
		}
	}
	for i, c := range p.clients {
		if c.link == nil || c.link.state != linkPlaying {
			p.t.Fatalf("client %d is not back", i)
		}
		if len(c.open) > 0 {
			p.t.Fatalf("client %d has no answer to %v", i, c.open)
		}
	}
	if len(p.h.links) != len(p.clients) {
		p.t.Fatalf("%d connections of %d clients", len(p.h.links), len(p.clients))
	}
}
