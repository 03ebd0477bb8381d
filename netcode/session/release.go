package session

import (
	"math"
	"time"
	"unique"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/wirepb"
)

// own makes w the hub's world. It parks the world's sessions until their clients
// resume them.
func (h *hub) own(w *ecs.World, epoch uint64) error {
	h.disown("this node took over the shard: connect again")
	schema := w.Schema()
	if err := replication.Check(schema, h.cfg.Replication); err != nil {
		return err
	}
	h.owned, h.starting, h.epoch = true, false, epoch
	h.since = h.now.Truncate(time.Millisecond)
	h.game, h.options = w.Game().Name, w.Options()
	h.period = time.Second / time.Duration(w.Game().TickRate)
	h.rule = w.Game().Identity
	h.hold, h.sampled = w.Game().Hold(), h.sampled[:0]
	for kind, c := range schema.Commands {
		if c.Sampled {
			h.sampled = append(h.sampled, uint16(kind))
		}
	}
	h.schema, h.schemaText, h.schemaHash = schema, unique.Handle[string]{}, 0
	h.latched, h.schedule = w.Tick(), schedule{period: h.period}
	h.released.Store(w.Tick())
	w.EachSession(func(state ecs.Session) bool {
		s := &session{
			id: state.ID, player: state.Identity, stage: stageLive, parked: h.now, spoke: true,
			taken: state.AppliedSeq, inputs: inputs{used: state.InputSeq}, holds: true,
		}
		h.accounts.charge(s, nil, state.Identity, h.now)
		h.addSession(s)
		return true
	})
	return nil
}

// describe encodes the schema, if no client has needed it yet. The shards of a process share the text.
func (h *hub) describe() {
	if h.schemaHash == 0 {
		h.schemaText, h.schemaHash = unique.Make(string(h.schema.JSON())), h.schema.Hash()
	}
}

// encode returns the encoder, which the first client needs.
func (h *hub) encode() (*replication.Encoder, error) {
	var err error
	if h.encoder == nil {
		h.encoder, err = replication.New(h.schema, h.cfg.Replication)
	}
	return h.encoder, err
}

// startPatience is how long a client waits for a node that is about to own its shard.
const startPatience = 2 * time.Second

// disown ends every connection that has or wants a session here, except those that
// wait for the first world.
func (h *hub) disown(text string) {
	for l := range h.links {
		if !h.starting || l.state != linkJoining {
			h.close(l, wirepb.Reason_REASON_NOT_OWNER, text)
		}
	}
	for _, s := range h.turns {
		h.accounts.strike(s)
	}
	h.owned, h.encoder = false, nil
	clear(h.sessions)
	clear(h.players)
	h.turns, h.ended = nil, nil
	if !h.starting {
		h.joining = nil
	}
}

// end ends every connection: the room is over.
func (h *hub) end(why string) {
	h.over = why
	for l := range h.links {
		h.close(l, wirepb.Reason_REASON_ENDED, why)
	}
	h.disown(why)
}

// rate returns the ticks per second.
func (h *hub) rate() uint64 { return uint64(time.Second / h.period) }

// release sends the reliable effects of one committed record to the clients: the
// events and replies of every tick, in order, then joins, leaves and changes of
// control. Updates follow through targets.
func (h *hub) release(w *ecs.World, epoch uint64, outputs []ecs.Output) {
	if !h.owned || len(outputs) == 0 {
		return
	}
	h.epoch = epoch
	h.released.Store(outputs[len(outputs)-1].Tick)
	for i := range outputs {
		h.sendEvents(&outputs[i])
		h.sendReplies(&outputs[i])
	}
	for i := 0; i < len(h.turns); i++ {
		s := h.turns[i]
		state, known := w.Session(s.id)
		if h.settle(s, state, known); h.sessions[s.id] != s {
			i--
			continue
		}
		if s.link != nil && s.stage == stageLive {
			h.sendStored(w, s, state)
			h.sendControl(s, state)
		}
	}
	h.readmit(w)
}

// settle advances a session's stage once the tick that decides it is committed.
func (h *hub) settle(s *session, state ecs.Session, known bool) {
	switch {
	case s.stage == stageJoining && h.released.Load() < s.joinTick:
		return // still on its way
	case s.stage == stageJoining && s.refusal != "":
		if s.link != nil {
			h.close(s.link, wirepb.Reason_REASON_REFUSED, s.refusal)
		}
		s.stage = stageLeaving
	case s.stage == stageJoining && known:
		s.stage = stageLive
		h.stats.SessionsJoined++
		if s.link != nil {
			h.welcome(s.link, state, false)
		} else {
			s.stage = stageLeaving // no client has its token
		}
	}
	if !known && (s.stage != stageJoining || h.released.Load() >= s.joinTick) {
		if s.link != nil {
			h.close(s.link, wirepb.Reason_REASON_LEFT, "the session is over")
		}
		h.removeSession(s)
	}
}

// sendEvents encodes a tick's events once and sends them to every client.
func (h *hub) sendEvents(o *ecs.Output) {
	var frames []byte
	for _, e := range o.Events {
		if e.Count > 0 {
			frames = frame.AppendMessage(frames, wirepb.IDEvent,
				&wirepb.Event{Tick: o.Tick, Kind: uint32(e.Kind), Count: uint32(e.Count), Values: e.Values})
		}
	}
	if frames == nil {
		return
	}
	for _, s := range h.turns {
		if s.link != nil && s.link.state == linkPlaying {
			s.link.sendRaw(frames)
		}
	}
}

func (h *hub) sendReplies(o *ecs.Output) {
	for _, r := range o.Replies {
		s := h.sessions[r.Session]
		switch {
		case s == nil:
		case s.stage == stageJoining:
			if r.Rejected {
				s.refusal = r.Reason
			}
		case s.link != nil && s.link.state == linkPlaying:
			s.link.send(wirepb.IDReply, &wirepb.Reply{Seq: r.Seq, Rejected: r.Rejected, Reason: r.Reason, Tick: o.Tick})
		}
	}
}

// sendStored answers commands that clients have sent again.
func (h *hub) sendStored(w *ecs.World, s *session, state ecs.Session) {
	wait := s.asked[:0]
	for _, seq := range s.asked {
		if m := s.again(w, state.AppliedSeq, h.released.Load(), seq); m == nil {
			wait = append(wait, seq)
		} else if s.link != nil {
			s.link.send(wirepb.IDReply, m)
		}
	}
	s.asked = wait
}

func (h *hub) sendControl(s *session, state ecs.Session) {
	if view := wireEntity(state.View); s.link != nil && view != s.view {
		s.view = view
		s.link.send(wirepb.IDControl, &wirepb.Control{View: view, Tick: h.released.Load()})
	}
}

// target is one recipient of an update, copied out of the hub so that encoding
// needs no lock.
type target struct {
	session   *session
	link      *link
	id        uint64
	view      ecs.Entity
	slack     int32
	inputTick uint64
	acks      [][]byte
	fresh     bool // start a new replication stream
	datagrams bool
}

// targets lists the clients of the next update.
func (h *hub) targets(w *ecs.World, dst []target) []target {
	for _, s := range h.turns {
		l := s.link
		if l == nil || l.state != linkPlaying || s.stage != stageLive {
			continue
		}
		if h.now.Sub(l.conn.Seen()) > h.cfg.SilenceTimeout {
			h.dropStream(s) // most likely nobody is there; if the client comes back, it gets whole blocks
			h.stats.UpdatesSkipped++
			continue
		}
		if !l.datagrams && l.conn.Backlog() > updateBacklog {
			h.stats.UpdatesSkipped++
			continue
		}
		state, _ := w.Session(s.id)
		dst = append(dst, target{
			session: s, link: l, id: s.id, view: state.View,
			slack: wireSlack(s.slack), inputTick: s.inputTick, acks: s.acks, fresh: !s.stream, datagrams: l.datagrams,
		})
		s.acks, s.stream = nil, true
	}
	return dst
}

// wireSlack converts ticks to 1/256 tick, clamped to ±2^20 ticks.
func wireSlack(ticks float64) int32 {
	return int32(math.Round(256 * max(-1<<20, min(1<<20, ticks))))
}

// header holds the fields that all updates of one release share.
type header struct {
	tick, checksum, epoch, durable uint64
}

// appendUpdate appends an encoded wirepb.Update. The bytes equal those of
// proto.Marshal, but it builds no message.
func (u *header) appendUpdate(b []byte, slack int32, inputTick uint64, body []byte) []byte {
	field := func(n protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	field(1, u.tick)
	if u.checksum != 0 {
		b = protowire.AppendTag(b, 2, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, u.checksum)
	}
	field(3, u.epoch)
	field(4, u.durable)
	field(5, protowire.EncodeZigZag(int64(slack)))
	field(6, inputTick)
	if len(body) > 0 {
		b = protowire.AppendTag(b, 7, protowire.BytesType)
		b = protowire.AppendBytes(b, body)
	}
	return b
}
