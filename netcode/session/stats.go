package session

// Stats counts what a shard's clients have done on this node.
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
	AheadOfLog      uint64 // clients with a valid token that claim to have seen a tick missing from the log (I10)

	ClientSeconds  float64 // time with a session, summed over all connections
	UpdatesSkipped uint64  // not sent because the client reads too slowly or is silent
}

// PerClientSecond returns n per client and second, 0 without clients.
func (s Stats) PerClientSecond(n uint64) float64 {
	if s.ClientSeconds <= 0 {
		return 0
	}
	return float64(n) / s.ClientSeconds
}

// snapshot returns the statistics, including those of open connections.
func (h *hub) snapshot() Stats {
	s := h.stats
	s.Sessions = len(h.sessions)
	for l := range h.links {
		if l.state == linkPlaying {
			s.Clients++
			s.ClientSeconds += h.now.Sub(l.welcomed).Seconds()
		}
	}
	return s
}
