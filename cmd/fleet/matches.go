package fleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/client"
)

// LobbyConfig says how many players look for matches, and where.
type LobbyConfig struct {
	Gateways  []string // host:port; at least one
	Transport client.Transport
	Count     int
	Prefix    string                                 // of the players' names: <prefix>-<number>
	Seed      uint64                                 // number i gets Seed+i
	Play      func(context.Context, Seat)            // plays one match after another until the context ends
	TLS       *tls.Config                            // as in client.Config
	DialUDP   func(address string) (net.Conn, error) // likewise
	Ramp      time.Duration                          // pause between two players; 0: 5 ms
	Logger    *slog.Logger                           // nil: slog.Default()
}

// Seat is what one player of a Lobby gets.
type Seat struct {
	Gateways  []string // the first one is the player's own
	Transport client.Transport
	Player    string
	Seed      uint64
	TLS       *tls.Config                            // as in client.Config
	DialUDP   func(address string) (net.Conn, error) // likewise
	Account   *Account
	Logger    *slog.Logger
}

// Lobby is a set of players who look for each other through a game's services, play a match in a room, and look again.
type Lobby struct {
	matches matches
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// StartLobby begins to play. It returns at once.
func StartLobby(c LobbyConfig) *Lobby {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Lobby{cancel: cancel}
	l.matches.counted = map[string]bool{}
	logger := cmp.Or(c.Logger, slog.Default())
	l.group.Go(func() {
		for i := range c.Count {
			own := i % len(c.Gateways)
			seat := Seat{
				Gateways: append(append([]string{}, c.Gateways[own:]...), c.Gateways[:own]...), Transport: c.Transport,
				Player: fmt.Sprintf("%s-%d", c.Prefix, i), Seed: c.Seed + uint64(i), TLS: c.TLS, DialUDP: c.DialUDP, Account: &Account{of: &l.matches}, Logger: logger,
			}
			l.matches.mu.Lock()
			l.matches.seats = append(l.matches.seats, seat.Account)
			l.matches.mu.Unlock()
			l.group.Go(func() { c.Play(ctx, seat) })
			select {
			case <-ctx.Done():
				return
			case <-time.After(cmp.Or(c.Ramp, 5*time.Millisecond)):
			}
		}
	})
	return l
}

// Close ends all players and waits for them.
func (l *Lobby) Close() {
	l.cancel()
	l.group.Wait()
}

// MatchStats counts what all players of a Lobby have seen so far.
type MatchStats struct {
	Players     int     `json:"players"`
	Waiting     int     `json:"waiting"`  // for a match
	Playing     int     `json:"playing"`  // in a room
	Finished    int     `json:"finished"` // matches whose results the players got
	Entered     uint64  `json:"entered"`  // times that a player entered the room of a match
	Returns     uint64  `json:"returns"`  // times that a player came back to a match after losing it
	Lost        uint64  `json:"lost"`     // connections to gateways
	LongestWait float64 `json:"longest_wait_s"`
	MeanWait    float64 `json:"mean_wait_s"`
}

// matches is what the accounts of a Lobby have in common.
type matches struct {
	mu      sync.Mutex
	stats   MatchStats
	counted map[string]bool // rooms
	seats   []*Account
	waits   int
	waited  time.Duration
	longest time.Duration
}

// Stats returns the counts so far. Whoever still waits counts with the time so far.
func (l *Lobby) Stats() MatchStats {
	m := &l.matches
	m.mu.Lock()
	defer m.mu.Unlock()
	s, longest := m.stats, m.longest
	s.Players, s.Finished = len(m.seats), len(m.counted)
	for _, a := range m.seats {
		if !a.since.IsZero() {
			longest = max(longest, time.Since(a.since))
		}
	}
	s.LongestWait = longest.Seconds()
	if m.waits > 0 {
		s.MeanWait = m.waited.Seconds() / float64(m.waits)
	}
	return s
}

// Account is one player's part of a Lobby's statistics. It belongs to the player's goroutine, except for Count.
type Account struct {
	of      *matches
	since   time.Time // zero: the player does not wait
	playing bool
}

// Wait says that the player waits for a match.
func (a *Account) Wait() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.stop()
	if a.since.IsZero() {
		a.since = time.Now()
		a.of.stats.Waiting++
	}
}

// Enter says that the player is in the room of a match: another one, or back in the one that it had lost.
func (a *Account) Enter(back bool) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.stop()
	if back {
		a.of.stats.Returns++
	}
	a.of.stats.Entered++
	a.playing = true
	a.of.stats.Playing++
}

// Matched says that the player has a ticket: its wait is over.
func (a *Account) Matched() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.since.IsZero() {
		return
	}
	waited := time.Since(a.since)
	a.of.waits++
	a.of.waited += waited
	a.of.longest = max(a.of.longest, waited)
	a.since = time.Time{}
	a.of.stats.Waiting--
}

// Leave says that the player is in no room, and does not wait for a match.
func (a *Account) Leave() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.stop()
}

// stop ends the time in a room. The caller holds the lock.
func (a *Account) stop() {
	if a.playing {
		a.playing = false
		a.of.stats.Playing--
	}
}

// Count says that the player got the result of the match in a room.
func (a *Account) Count(room string) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.of.counted[room] = true
}

// Lose says that the connection to a gateway has ended.
func (a *Account) Lose() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.of.stats.Lost++
}
