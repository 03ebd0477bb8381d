package netcode

// Stats counts what a server's clients did since it was made.
type Stats struct {
	Clients  int // connections with a session, now
	Sessions int // sessions of the world, parked ones included, now

	Inputs         uint64 // samples that arrived
	InputsAgain    uint64 // of these: copies of what had arrived, or older than what was used
	InputsLate     uint64 // after the latch of their tick: they repeat instead
	InputsEarly    uint64 // more than MaxTicksAhead ahead: forgotten
	InputsDropped  uint64 // no room in the queue or in the frame
	InputsInvalid  uint64 // refused by World.Validate
	InputsRepeated uint64 // ticks times kinds in which the last one repeated
	InputsNeutral  uint64 // ticks times kinds in which the zero value stood in for a silent client

	Commands        uint64 // reliable commands that arrived, repeats included
	CommandsRefused uint64 // answered before any tick used them

	SessionsJoined  uint64
	SessionsResumed uint64
	SessionsRefused uint64            // connections that were not let in
	RefusedBy       map[string]uint64 // the same by reason
	AheadOfLog      uint64            // clients with a session's token that saw a tick the log does not have (I10)

	Gateway       int    // connections that speak RPC, now
	GatewayOpened uint64 // the same, so far

	BytesIn, BytesOut uint64  // UDP payload or TCP stream of all connections
	ClientSeconds     float64 // sum over connections of the time with a session

	PacketsIgnored uint64 // not of this protocol, over a limit, or of an unknown connection
	UpdatesSkipped uint64 // left out because the client reads too slowly
}

// BytesOutPerClientSecond is what one client costs, 0 without any.
func (s Stats) BytesOutPerClientSecond() float64 { return per(s.BytesOut, s.ClientSeconds) }

// BytesInPerClientSecond is what one client sends, 0 without any.
func (s Stats) BytesInPerClientSecond() float64 { return per(s.BytesIn, s.ClientSeconds) }

func per(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// snapshot is the statistics with what the open connections add.
func (h *hub) snapshot() Stats {
	for l := range h.links {
		h.tally(l)
	}
	s := h.stats
	s.Sessions = len(h.sessions)
	s.RefusedBy = make(map[string]uint64, len(h.stats.RefusedBy))
	for k, v := range h.stats.RefusedBy {
		s.RefusedBy[k] = v
	}
	for l := range h.links {
		switch l.state {
		case linkPlaying:
			s.Clients++
			s.ClientSeconds += h.now.Sub(l.welcomed).Seconds()
		case linkServing:
			s.Gateway++
		}
	}
	return s
}
