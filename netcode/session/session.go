package session

import (
	"fmt"
	"slices"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/wirepb"
)

// stage is where a session is in its life.
type stage uint8

const (
	stageJoining stage = iota // its Join is in a tick that is not committed yet
	stageLive                 // the committed world has it
	stageLeaving              // its Leave is due, or in a tick
)

// session is a client across its connections, as this node sees it. The world
// keeps what must survive the node (identity, resume hash, applied seq, replies);
// session keeps the rest.
type session struct {
	id     uint64
	player string // its identity
	stage  stage
	link   *link     // nil: parked
	parked time.Time // when it lost its link, if link is nil

	address, who *account // accounts of its connection's address and of its identity
	spoke        bool     // its client has sent something after Welcome, on a connection before this one

	token    [netcode.TokenSize]byte // for Welcome; zero once sent
	joinTick uint64                  // the tick with its Join
	leftTick uint64                  // the tick with its Leave; 0: none yet
	refusal  string                  // why the game refused the join

	inputs inputs

	refusedTold bool // the log says that the game refuses one of its inputs

	holds    bool // the world may still use the inputs of a lost connection
	commands []command
	taken    uint64          // newest command seq queued or refused here
	asked    []uint64        // seqs that the client sent again: their replies are due again
	refused  []*wirepb.Reply // the last refusals of commands that no tick used
	flying   uint64          // newest tick that has a command of the session
	acks     [][]byte        // replication acknowledgements, not applied yet
	stream   bool            // the encoder has a stream for this link

	view      uint64  // last entity sent in Welcome or Control, as on the wire
	slack     float64 // of the newest input, in ticks
	inputTick uint64  // target tick of that input
	told      uint64  // tick of the last Wait
	dropped   uint32  // inputs without room since then
	throttled bool    // its address or identity has used up its log bytes since the last Wait
}

// command is a reliable command waiting for a tick.
type command struct {
	seq     uint64
	kind    uint16
	payload []byte
}

const (
	// maxAsked bounds the repeated commands that wait for an answer, and the
	// refusals kept for them.
	maxAsked = ecs.KeptReplies
	// maxAcks bounds the acknowledgements that wait for the next release.
	maxAcks = 8
	// commandsPerTick bounds the reliable commands of one session in one tick.
	commandsPerTick = 16
)

// queue queues a reliable command. It refuses one beyond the limit, and notes that
// a repeated one wants its answer.
func (s *session) queue(h *hub, c command) {
	switch {
	case c.seq <= s.taken:
		if len(s.asked) < maxAsked {
			s.asked = append(s.asked, c.seq)
		}
	case len(s.commands) >= h.cfg.MaxCommands:
		s.taken = c.seq
		s.refuse(h, c.seq, s.crowded(h))
	default:
		s.taken = c.seq
		s.commands = append(s.commands, c)
	}
}

// crowded returns the reason for refusing a command when too many wait.
func (s *session) crowded(h *hub) string {
	if s.throttled {
		return fmt.Sprintf("too many commands are waiting: the log accepts %d bytes per second from one address and %d from one identity",
			h.accounts.limits.LogBytesPerAddress, h.accounts.limits.LogBytesPerIdentity)
	}
	return "too many commands are waiting"
}

// refuse answers a command that no tick will use, and keeps the answer.
func (s *session) refuse(h *hub, seq uint64, reason string) {
	h.stats.CommandsRefused++
	m := &wirepb.Reply{Seq: seq, Rejected: true, Reason: reason}
	if len(s.refused) == maxAsked {
		s.refused = slices.Delete(s.refused, 0, 1)
	}
	s.refused = append(s.refused, m)
	s.link.send(wirepb.IDReply, m)
}

// again returns the answer to a command that was sent again. It returns nil while
// the command waits or is in an uncommitted tick: its reply will still come.
func (s *session) again(w *ecs.World, applied, released, seq uint64) *wirepb.Reply {
	for _, m := range s.refused {
		if m.Seq == seq {
			return m
		}
	}
	if r, ok := w.Reply(s.id, seq); ok {
		return &wirepb.Reply{Seq: seq, Rejected: r.Rejected, Reason: r.Reason}
	}
	if seq > applied && (s.flying > released || slices.ContainsFunc(s.commands, func(c command) bool { return c.seq == seq })) {
		return nil
	}
	return &wirepb.Reply{Seq: seq, Unknown: true, Rejected: true, Reason: "the answer is no longer stored"}
}

// park detaches the connection. The session stays in the world.
func (s *session) park(now time.Time) {
	s.link = nil
	s.parked = now
	s.inputs.quiet()
	s.holds = true
	s.acks = nil
}
