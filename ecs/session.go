package ecs

import "slices"

// Join is the built-in command wind.join: it begins the session that sends it. A second one changes nothing.
type Join struct {
	Identity   Text64   // the player, as vouched for by the gateway
	ResumeHash [16]byte // of the secret that lets a client resume the session
}

// Leave is the built-in command wind.leave: it ends the session that sends it, after its handler has run.
type Leave struct{}

// The kinds of the built-in commands. A game's own kinds follow.
const (
	KindJoin  = 0
	KindLeave = 1
)

func registerBuiltins(w *World) {
	registerCommand[Join](w, "wind.join", nil)
	registerCommand[Leave](w, "wind.leave", nil)
}

// Session is a connected client, across reconnects: part of the world's state, in checksum, delta and snapshot.
type Session struct {
	ID         uint64
	Identity   string
	ResumeHash [16]byte
	AppliedSeq uint64 // the last command that was not sampled; the world ignores any up to it
	InputSeq   uint64 // the last sampled command
	View       Entity // the entity from which the client sees the world, see Tick.Control
	Joined     uint64 // the tick of joining
}

// Reply answers a client's command that was not sampled.
type Reply struct {
	Session, Seq uint64
	Rejected     bool
	Reason       string // at most 128 bytes
}

// KeptReplies is how many replies a session keeps, so that a successor can repeat them.
const KeptReplies = 32

// session is a Session with what the world keeps for it.
type session struct {
	Session
	inputs  []input // by ordinal of the sampled command
	replies []Reply // a ring once it has KeptReplies entries
	oldest  int     // index in the ring
	fresh   int     // replies made in this tick
	changed sessionParts
	sum     uint64 // contribution to the checksum of all but the replies
}

// input is the last sampled command of one kind.
type input struct {
	payload []byte // nil before the first one
	tick    uint64 // of its last use; not state
	changed bool
}

// sessionParts is the set of a session's parts that a tick changed.
type sessionParts uint8

const (
	partNew sessionParts = 1 << iota
	partApplied
	partInputSeq
	partView
	partInputs
	partReplies
	partGone // in deltas: the session with that id ended
)

// sessions is the list of sessions, ordered by id.
type sessions struct {
	w    *World
	ids  []uint64
	list []*session
	sum  uint64 // contribution to the checksum
	// of the current tick:
	changed []*session
	gone    []uint64
}

func (s *sessions) find(id uint64) *session {
	if i, ok := slices.BinarySearch(s.ids, id); ok {
		return s.list[i]
	}
	return nil
}

// plays reports whether a player has a session.
func (s *sessions) plays(identity string) bool {
	return slices.ContainsFunc(s.list, func(x *session) bool { return x.Identity == identity })
}

// touch notes that a part of x changes in this tick.
func (s *sessions) touch(x *session, part sessionParts) {
	if x.changed == 0 {
		s.changed = append(s.changed, x)
	}
	x.changed |= part
}

// add begins a session.
func (s *sessions) add(v Session) *session {
	i, _ := slices.BinarySearch(s.ids, v.ID)
	x := &session{Session: v, inputs: make([]input, len(s.w.sampled))}
	s.ids = slices.Insert(s.ids, i, v.ID)
	s.list = slices.Insert(s.list, i, x)
	x.sum = s.hash(x)
	s.sum += x.sum
	s.touch(x, partNew)
	return x
}

// remove ends a session.
func (s *sessions) remove(x *session) {
	i, _ := slices.BinarySearch(s.ids, x.ID)
	s.ids = slices.Delete(s.ids, i, i+1)
	s.list = slices.Delete(s.list, i, i+1)
	s.sum -= x.sum + s.repliesHash(x)
	if j := slices.Index(s.changed, x); j >= 0 {
		s.changed = slices.Delete(s.changed, j, j+1)
	}
	if x.changed&partNew == 0 {
		s.gone = append(s.gone, x.ID)
	}
}

// control sets the view of a session, if it exists.
func (s *sessions) control(id uint64, e Entity) {
	if x := s.find(id); x != nil && x.View != e {
		x.View = e
		s.touch(x, partView)
	}
}

// applied notes the last command that was not sampled.
func (s *sessions) applied(x *session, seq uint64) {
	x.AppliedSeq = seq
	s.touch(x, partApplied)
}

// used stores a sampled command as the session's last one. It notes only what changes.
func (s *sessions) used(x *session, c *Command, ordinal int) {
	in := &x.inputs[ordinal]
	in.tick = s.w.tick
	if c.Seq > x.InputSeq {
		x.InputSeq = c.Seq
		s.touch(x, partInputSeq)
	}
	if in.payload == nil || string(in.payload) != string(c.Payload) {
		s.setInput(x, ordinal, c.Payload)
		in.changed = true
		s.touch(x, partInputs)
	}
}

func (s *sessions) setInput(x *session, ordinal int, payload []byte) {
	in := &x.inputs[ordinal]
	if in.payload == nil {
		in.payload = make([]byte, 0, len(payload))
	}
	in.payload = append(in.payload[:0], payload...)
}

// reply stores a reply and evicts the oldest one if the ring is full.
func (s *sessions) reply(x *session, r Reply) {
	if len(x.replies) < KeptReplies {
		x.replies = append(x.replies, r)
	} else {
		s.sum -= replyHash(&x.replies[x.oldest])
		x.replies[x.oldest] = r
		x.oldest = (x.oldest + 1) % KeptReplies
	}
	s.sum += replyHash(&r)
	x.fresh = min(x.fresh+1, KeptReplies)
	s.touch(x, partReplies)
}

// nth returns the i-th oldest of the last n replies.
func (x *session) nth(i, n int) *Reply {
	return &x.replies[(x.oldest+len(x.replies)-n+i)%len(x.replies)]
}

// replied finds a stored reply.
func (x *session) replied(seq uint64) (Reply, bool) {
	for i := range x.replies {
		if r := &x.replies[i]; r.Seq == seq {
			return *r, true
		}
	}
	return Reply{}, false
}

// settle updates the checksum for the sessions that the tick has changed.
func (s *sessions) settle() {
	for _, x := range s.changed {
		sum := s.hash(x)
		s.sum += sum - x.sum
		x.sum = sum
	}
}

// begin clears the changes of the last tick.
func (s *sessions) begin() {
	for _, x := range s.changed {
		x.changed, x.fresh = 0, 0
		for i := range x.inputs {
			x.inputs[i].changed = false
		}
	}
	s.changed, s.gone = s.changed[:0], s.gone[:0]
}

// hash returns the checksum contribution of x without its replies.
func (s *sessions) hash(x *session) uint64 {
	h := stringHash(x.ID^k3, x.Identity)
	h = bytesHash(h, x.ResumeHash[:])
	h = mum(h^x.AppliedSeq, k1)
	h = mum(h^x.InputSeq, k0)
	h = mum(h^x.View.key(), k2)
	h = mum(h^x.Joined, k3)
	for i := range x.inputs {
		if p := x.inputs[i].payload; p != nil {
			h += bytesHash(h^s.w.sampled[i].f.seed, p)
		}
	}
	return h
}

// replyHash returns a reply's contribution. Sequence numbers of stored replies ascend, so a plain sum determines their
// order.
func replyHash(r *Reply) uint64 {
	h := mum(r.Session^k2, r.Seq^k1)
	if r.Rejected {
		h ^= k0
	}
	return stringHash(h, r.Reason)
}

func (s *sessions) repliesHash(x *session) (sum uint64) {
	for i := range x.replies {
		sum += replyHash(&x.replies[i])
	}
	return sum
}

// recompute returns the contribution computed from scratch.
func (s *sessions) recompute() (sum uint64) {
	for _, x := range s.list {
		sum += s.hash(x) + s.repliesHash(x)
	}
	return sum
}

// Session finds a session by id.
func (w *World) Session(id uint64) (Session, bool) {
	if x := w.sessions.find(id); x != nil {
		return x.Session, true
	}
	return Session{}, false
}

// Sessions returns the number of sessions.
func (w *World) Sessions() int { return len(w.sessions.list) }

// EachSession yields the sessions in order of id.
func (w *World) EachSession(yield func(Session) bool) {
	for _, x := range w.sessions.list {
		if !yield(x.Session) {
			return
		}
	}
}

// Reply returns the session's reply to a command, if it is among its last 32.
func (w *World) Reply(id, seq uint64) (Reply, bool) {
	if x := w.sessions.find(id); x != nil {
		return x.replied(seq)
	}
	return Reply{}, false
}

// LastInput returns the packed value of the last sampled command of a kind that a session used. It is valid until the
// next Step.
func (w *World) LastInput(id uint64, kind uint16) ([]byte, bool) {
	x := w.sessions.find(id)
	if x == nil || int(kind) >= len(w.handlers) || !w.handlers[kind].f.Sampled {
		return nil, false
	}
	p := x.inputs[w.handlers[kind].ordinal].payload
	return p, p != nil
}

// Sessions gives a system read access to the sessions.
type Sessions struct{ w *World }

func (s *Sessions) bind(w *World) { s.w = w }

// Each yields the sessions in order of id.
func (s *Sessions) Each(yield func(Session) bool) { s.w.EachSession(yield) }

// Get finds a session by id.
func (s *Sessions) Get(id uint64) (Session, bool) { return s.w.Session(id) }

// Len returns the number of sessions.
func (s *Sessions) Len() int { return len(s.w.sessions.list) }
