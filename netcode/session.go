package netcode

import (
	"fmt"
	"slices"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// stage is where a session stands between this node and the world.
type stage uint8

const (
	stageJoining stage = iota // its Join is in a frame that is not committed yet
	stageLive                 // the committed world has it
	stageLeaving              // its Leave is wanted, or in a frame
)

// session is a client across its connections, as this node sees it. What must
// survive the node (identity, resume hash, applied seq, replies) is in the
// world; this is the rest.
type session struct {
	id     uint64
	stage  stage
	link   *link     // nil: parked
	parked time.Time // since when, if link is nil

	address, who *account // what its connections' address and its identity have taken
	spoke        bool     // its client has said something, on some connection

	token    [TokenSize]byte // while joining, for Welcome
	joinTick uint64          // of the frame with its Join
	leftTick uint64          // of the frame with its Leave; 0: none yet
	refusal  string          // why the game refused the join

	inputs   inputs
	holds    bool // the world may still hold the inputs of a connection that is gone
	commands []command
	taken    uint64          // newest command seq that was queued or refused here
	asked    []uint64        // seqs sent again, whose replies are wanted once more
	refused  []*wirepb.Reply // the last ones that were answered before any tick used them
	flying   uint64          // newest tick whose frame has a command of the session
	acks     [][]byte        // replication acknowledgements, not applied yet
	stream   bool            // the encoder has a stream for this link

	view      uint64  // what the client was told, as on the wire
	slack     float64 // of the newest input, in ticks
	inputTick uint64
	told      uint64 // tick of the last Wait
	dropped   uint32 // inputs without room since then
	throttled bool   // the log takes no more of its address or identity for now
}

// command is a reliable command that waits for a tick.
type command struct {
	seq     uint64
	kind    uint16
	payload []byte
}

const (
	// maxAsked bounds the repeats that wait for an answer, and the refusals
	// that are remembered for them. The world keeps 32 replies per session.
	maxAsked = 32
	// maxAcks bounds the acknowledgements that wait for the next release.
	maxAcks = 8
	// commandsPerTick bounds what one session gets into one tick.
	commandsPerTick = 16
)

// queue takes a reliable command, or answers it.
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

// crowded says why too many commands wait.
func (s *session) crowded(h *hub) string {
	if s.throttled {
		return fmt.Sprintf("too many commands wait: the log takes %d bytes per second of one address and %d of one identity",
			h.cfg.Limits.LogBytesPerAddress, h.cfg.Limits.LogBytesPerIdentity)
	}
	return "too many commands wait"
}

// refuse answers a command that no tick will use, and remembers that.
func (s *session) refuse(h *hub, seq uint64, reason string) {
	h.stats.CommandsRefused++
	m := &wirepb.Reply{Seq: seq, Rejected: true, Reason: reason}
	if len(s.refused) == maxAsked {
		s.refused = slices.Delete(s.refused, 0, 1)
	}
	s.refused = append(s.refused, m)
	s.link.send(h, wirepb.IDReply, m)
}

// again is the answer to a command that was sent again, or nil as long as it
// waits or is in a frame that is not committed: then its reply comes anyway.
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
	return &wirepb.Reply{Seq: seq, Unknown: true, Rejected: true, Reason: "the answer is no longer known"}
}

// park takes the connection away; the session stays in the world.
func (s *session) park(now time.Time) {
	s.link = nil
	s.parked = now
	s.inputs.quiet()
	s.holds = true
	s.acks = nil
}
