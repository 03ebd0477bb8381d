package netcode

// Stats counts what a server's clients have done since Listen.
type Stats struct {
	Clients  int // connections with a session, now
	Sessions int // sessions of the world, parked ones included, now

	Inputs         uint64 // samples that arrived
	InputsAgain    uint64 // of these, duplicates and those older than a used one
	InputsLate     uint64 // arrived after the latch of their tick: they repeat instead
	InputsEarly    uint64 // aimed more than MaxTicksAhead ahead: dropped
	InputsDropped  uint64 // found no room in the queue or in the tick
	InputsInvalid  uint64 // ignored because the game refuses their values: see World.Validate
	InputsRepeated uint64 // repeats of the last input, one per tick and kind
	InputsNeutral  uint64 // zero values used for a silent client, one per tick and kind

	Commands        uint64 // reliable commands that arrived, repeats included
	CommandsRefused uint64 // answered before any tick used them

	SessionsJoined  uint64
	SessionsResumed uint64
	SessionsRefused uint64            // connections that were not admitted
	RefusedBy       map[string]uint64 // the same by reason
	AheadOfLog      uint64            // clients with a valid token that claim to have seen a tick missing from the log (I10)

	Gateway       int    // connections that speak RPC, now
	GatewayOpened uint64 // connections that speak RPC, in total

	BytesIn, BytesOut uint64  // of all connections: UDP payload or TCP stream
	ClientSeconds     float64 // time with a session, summed over all connections

	PacketsIgnored uint64 // not of this protocol, over a limit, or of an unknown connection
	UpdatesSkipped uint64 // not sent because the client reads too slowly or is silent
}

// BytesOutPerClientSecond returns the bytes sent per client and second, 0 without clients.
func (s Stats) BytesOutPerClientSecond() float64 { return per(s.BytesOut, s.ClientSeconds) }

// BytesInPerClientSecond returns the bytes received per client and second, 0 without clients.
func (s Stats) BytesInPerClientSecond() float64 { return per(s.BytesIn, s.ClientSeconds) }

func per(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// snapshot returns the statistics, including those of open connections.
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
		case linkRPC:
			s.Gateway++
		}
	}
	return s
}
