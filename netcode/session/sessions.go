package session

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Sessions are the clients of one shard on one node. The front door hands it the
// connections that want the shard (netcode.Shard). The shard's tick loop drives it
// through Own, Latch, Release and Disown, one call at a time, but for Disown while a
// Latch hangs; it reads the world only inside these calls. All other methods are safe
// for concurrent use at any time.
type Sessions struct {
	turn turn // whose turn it is to use hub
	hub  *hub
	hung atomic.Bool           // the world does not step
	last atomic.Pointer[Stats] // that were counted

	// Used only by the tick loop.
	datagrams *netcode.Datagrams
	targets   []target
	streams   []update
	unplaced  bool // whether the last release had entities without a place
}

// update is what a client without the datagram lane gets of a release.
type update struct {
	link   *link
	frames []byte
}

// New returns the sessions of a shard that this node does not own yet. The front
// door d hands them the connections that want the shard.
func New(d *netcode.Door, c Config) (*Sessions, error) {
	if c.Replication.PacketBytes > maxUpdateBody {
		return nil, fmt.Errorf("session: replication packets of %d bytes do not fit into a datagram: the limit is %d", c.Replication.PacketBytes, maxUpdateBody)
	}
	s := &Sessions{datagrams: d.Datagrams()}
	c.datagrams = s.lane
	s.hub = newHub(c.withDefaults())
	s.turn.hub, s.turn.clock = s.hub, time.Now
	d.Serve(c.Shard, s)
	return s, nil
}

// Hello implements netcode.Shard.
func (s *Sessions) Hello(c *netcode.Conn, m *wirepb.Hello, t *netcode.Ticket) netcode.Stream {
	l := &link{conn: c, raw: c, hello: m, ticket: t}
	if s.hung.Load() || !s.turn.leave(callBytes+proto.Size(m), func() { s.hub.hello(l) }) {
		c.Close(wirepb.Reason_REASON_NOT_OWNER, hangs)
		return refused{}
	}
	return &stream{s, l}
}

// callBytes is about what a call that waits for the hub costs besides a client's message.
const callBytes = 128

// hangs tells a client that the shard cannot serve it.
const hangs = "a tick of the shard does not end: try again"

// refused is the stream of a connection that the hub does not know. It implements
// netcode.Stream.
type refused struct{}

func (refused) Receive(uint32, []byte) {}
func (refused) Text([]byte)            {}
func (refused) Closed()                {}

// Expire implements netcode.Shard. It leaves a hub that is in use to the next call.
func (s *Sessions) Expire() {
	if s.turn.tryTake() {
		defer s.turn.give()
		s.hub.expire()
	}
}

// stream handles a connection for its link. It implements netcode.Stream.
type stream struct {
	sessions *Sessions
	link     *link
}

// Receive implements netcode.Stream.
func (x *stream) Receive(id uint32, payload []byte) {
	s := x.sessions
	if id == wirepb.IDPing { // answered even while a tick does not end
		x.link.raw.Pong(payload, s.hub.released.Load())
		return
	}
	if s.turn.tryTake() {
		defer s.turn.give()
		s.hub.receive(x.link, id, payload)
		return
	}
	own := bytes.Clone(payload)
	if !s.turn.leave(callBytes+len(own), func() { s.hub.receive(x.link, id, own) }) {
		x.link.conn.Close(wirepb.Reason_REASON_NOT_OWNER, hangs)
	}
}

// Text implements netcode.Stream. The shard protocol has no text messages.
func (x *stream) Text([]byte) {
	x.link.conn.Close(wirepb.Reason_REASON_PROTOCOL, "the shard protocol has no text messages")
}

// Closed implements netcode.Stream.
func (x *stream) Closed() {
	x.sessions.turn.leave(0, func() { x.sessions.hub.lost(x.link) })
}

// lane returns what handles the datagrams of a link.
func (s *Sessions) lane(l *link) func(id uint32, payload []byte) bool {
	return func(id uint32, payload []byte) bool {
		if s.turn.tryTake() {
			defer s.turn.give()
			return s.hub.receiveDatagram(l, id, payload)
		}
		own := bytes.Clone(payload)
		return s.turn.leave(callBytes+len(own), func() { s.hub.receiveDatagram(l, id, own) })
	}
}

// statsWithin is how long Stats waits for the tick loop.
const statsWithin = 100 * time.Millisecond

// Stats returns what the clients have done so far. While a tick does not end, it
// returns what it counted last.
func (s *Sessions) Stats() Stats {
	counted := make(chan Stats, 1)
	s.turn.leave(callBytes, func() { counted <- s.hub.snapshot() })
	select {
	case x := <-counted:
		s.last.Store(&x)
		return x
	case <-time.After(statsWithin):
	}
	if x := s.last.Load(); x != nil {
		return *x
	}
	return Stats{}
}

// Own makes this node serve w, which is recovered and fenced with epoch. Its
// sessions wait for their clients to resume them. If the game's replication tags
// are unusable, Own logs why and the shard accepts no clients.
func (s *Sessions) Own(w *ecs.World, epoch uint64) {
	s.turn.take()
	defer s.turn.give()
	if err := s.hub.own(w, epoch); err != nil {
		s.hub.log.Error("netcode: the shard cannot be replicated to clients", "error", err)
	}
}

// Disown makes this node stop serving its world. Connections end with a reason
// that makes clients look for the new owner (REASON_NOT_OWNER). It does not wait for
// a tick that hangs in Latch.
func (s *Sessions) Disown(reason error) {
	s.turn.leave(0, func() {
		s.hub.log.Info("netcode: disconnecting the shard's clients", "clients", len(s.hub.links), "reason", reason)
		s.hub.disown("the node no longer owns the shard")
	})
}

// End disowns a room that is over: connections end with REASON_ENDED, and
// clients do not come again.
func (s *Sessions) End(why string) {
	s.turn.leave(0, func() { s.hub.end(why) })
}

// SetHung says whether a tick of the world does not end. Meanwhile clients that
// want a session are asked to try again (REASON_NOT_OWNER), as nothing else would
// answer them. Those that have one stay.
func (s *Sessions) SetHung(hung bool) {
	if s.hung.Store(hung); hung {
		s.turn.leave(callBytes, s.hub.turnAway)
	}
}

// OnArrival makes f be called, from any goroutine, whenever a client arrives that wants a session; nil ends it. f must not block.
func (s *Sessions) OnArrival(f func()) {
	s.turn.take()
	defer s.turn.give()
	s.hub.comes = f
}

// Latch appends to dst the commands that the clients want in tick: validated,
// with repeats filled in, at most budgetBytes of payloads and envelopes, not yet
// ordered. w is at tick-1; Latch reads it but does not keep it. Nothing writes to
// the payloads afterwards.
func (s *Sessions) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	s.turn.take()
	defer s.turn.give()
	return s.hub.latch(w, tick, dst, budgetBytes)
}

// Release sends the effects of the record that the log holds under seq: replies
// and events of all its ticks, and an update of the last tick, at which w stands.
// It reads w and outputs until it returns and does not keep them.
func (s *Sessions) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	s.turn.take()
	s.hub.release(w, epoch, outputs)
	if !s.hub.owned || len(outputs) == 0 {
		s.turn.give()
		return
	}
	s.targets = s.hub.targets(w, s.targets[:0])
	encoder, ended, log := s.hub.encoder, s.hub.ended, s.hub.log
	s.hub.ended = nil
	var err error
	if len(s.targets) > 0 {
		encoder, err = s.hub.encode()
	}
	s.turn.give()

	if encoder != nil {
		for _, id := range ended {
			encoder.Leave(id)
		}
	}
	if len(s.targets) == 0 {
		return // nobody sees the world
	}
	if err != nil { // own has tried it
		log.Error("netcode: cannot encode updates", "error", err)
		return
	}
	u := header{tick: w.Tick(), checksum: w.Checksum(), epoch: epoch, durable: seq}
	if err := encoder.Begin(w, u.epoch); err != nil {
		log.Error("netcode: cannot encode this tick's updates", "tick", u.tick, "error", err)
	} else {
		s.tellUnplaced(log, encoder.Unplaced(), u.tick)
		s.encode(encoder, u)
	}
	dropped := s.datagrams.Send()

	s.turn.take()
	defer s.turn.give()
	s.hub.stats.UpdatesSkipped += uint64(dropped)
	for i := range s.streams {
		s.streams[i].link.sendRaw(s.streams[i].frames)
	}
	clear(s.streams)
	s.streams = s.streams[:0]
	clear(s.targets)
}

// tellUnplaced warns once when entities lose their place, and again only after all had one.
func (s *Sessions) tellUnplaced(log *slog.Logger, u replication.Unplaced, tick uint64) {
	if u.Count > 0 && !s.unplaced {
		log.Warn("netcode: no client sees an entity whose position is NaN or infinite: look for the system that divides by zero or multiplies without bounds",
			"entity", u.First, "component", u.Component, "entities", u.Count, "tick", tick)
	}
	s.unplaced = u.Count > 0
}

// encode encodes the update of every target.
func (s *Sessions) encode(encoder *replication.Encoder, u header) {
	for i := range s.targets {
		t := &s.targets[i]
		if t.fresh {
			encoder.Join(t.id)
		}
		for _, ack := range t.acks {
			_ = encoder.Ack(t.id, ack) // a damaged one acknowledges nothing
		}
		var frames []byte
		encoder.Update(t.id, t.view, func(packet []byte) {
			if !t.datagrams {
				start := len(frames)
				frames = frame.Append(frames, wirepb.IDUpdate, nil)
				frames = u.appendUpdate(frames, t.slack, t.inputTick, packet)
				frame.SetLength(frames[start:])
				return
			}
			s.datagrams.Add(t.link.raw, func(b []byte) []byte {
				b = frame.AppendMessageHeader(b, wirepb.IDUpdate, t.id)
				return u.appendUpdate(b, t.slack, t.inputTick, packet)
			})
		})
		if frames != nil {
			s.streams = append(s.streams, update{t.link, frames})
		}
	}
}
