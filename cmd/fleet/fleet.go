// Package fleet runs many clients that play a game, for `dev --bots`, `bots`, tests and benchmarks. They are ordinary
// clients: they connect over UDP or TCP, resume after a drop, and know only the part of the world that they receive.
package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Config says how many clients play, and where.
type Config struct {
	Addrs     []string // host:port of the nodes that may serve the shard; at least one
	Transport client.Transport
	Shard     string
	Game      string // the game the bots play: Start refuses a shard of another; "" allows any
	Count     int
	Prefix    string // of the identities: <prefix>-<number>
	Seed      uint64 // of the bots: number i gets Seed+i
	NewBot    func(seed uint64) client.Bot
	Trace     *Trace                                 // nil: no trace
	TLS       *tls.Config                            // as in client.Config
	DialUDP   func(address string) (net.Conn, error) // likewise
	Ramp      time.Duration                          // pause between two connects; 0: 5 ms
	Logger    *slog.Logger                           // nil: slog.Default()
}

// Stats counts what all clients of the fleet together have done and seen so far.
type Stats struct {
	Clients   int     `json:"clients"`
	Inputs    uint64  `json:"inputs"`
	Commands  uint64  `json:"commands"`
	Replies   uint64  `json:"replies"`
	Updates   uint64  `json:"updates"`
	BytesIn   uint64  `json:"bytes_in"`
	BytesOut  uint64  `json:"bytes_out"`
	Drops     uint64  `json:"drops"`
	Resumes   uint64  `json:"resumes"`
	Rejoins   uint64  `json:"rejoins"`
	LastTick  uint64  `json:"last_tick"`
	RTTMillis float64 `json:"rtt_ms"` // mean over the clients
}

// Fleet is a set of running clients. Its methods may be called concurrently.
type Fleet struct {
	mu      sync.Mutex
	clients []*client.Client
}

// Start connects all clients and returns once every one is in the world. On an error it closes all of them.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	if len(c.Addrs) == 0 {
		return nil, errors.New("fleet: no address to connect to")
	}
	if c.Ramp == 0 {
		c.Ramp = 5 * time.Millisecond
	}
	f := &Fleet{}
	var group sync.WaitGroup
	errs := make([]error, c.Count)
	for i := range c.Count {
		group.Go(func() { errs[i] = f.join(ctx, c, i) })
		select {
		case <-ctx.Done():
		case <-time.After(c.Ramp):
		}
	}
	group.Wait()
	for i, err := range errs {
		var other *OtherGameError
		if errors.As(err, &other) {
			f.Close()
			return nil, other
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("bot %d of %d cannot join: %w", i+1, c.Count, err)
		}
	}
	return f, nil
}

func (f *Fleet) join(ctx context.Context, c Config, i int) error {
	config := client.Config{
		Addr: c.Addrs[i%len(c.Addrs)], More: c.Addrs, Transport: c.Transport, Shard: c.Shard,
		Identity: fmt.Sprintf("%s-%d", c.Prefix, i), Bot: c.NewBot(c.Seed + uint64(i)), TLS: c.TLS, DialUDP: c.DialUDP, Logger: c.Logger,
	}
	if c.Trace != nil {
		config.OnUpdate = func(u client.Update) { c.Trace.saw(i, u) }
	}
	cl, err := client.Dial(ctx, config)
	if err != nil {
		return err
	}
	if game := cl.Game(); c.Game != "" && game != c.Game {
		_ = cl.Close() // leaves the shard
		return &OtherGameError{Addr: config.Addr, Runs: game, Plays: c.Game}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = append(f.clients, cl)
	return nil
}

// OtherGameError reports that a shard runs a different game from the one the bots play.
type OtherGameError struct{ Addr, Runs, Plays string }

// Error implements error.
func (e *OtherGameError) Error() string {
	return fmt.Sprintf("the shard at %s runs the game %q, and these bots play %q: start the bots of that game's own program", e.Addr, e.Runs, e.Plays)
}

// Stats sums up the clients' counts.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Clients: len(f.clients)}
	for _, c := range f.clients {
		x := c.Stats()
		s.Inputs += x.Inputs
		s.Commands += x.Commands
		s.Replies += x.Replies
		s.Updates += x.Updates
		s.BytesIn += x.BytesIn
		s.BytesOut += x.BytesOut
		s.Drops += x.Drops
		s.Resumes += x.Resumes
		s.Rejoins += x.Rejoins
		s.LastTick = max(s.LastTick, x.LastTick)
		s.RTTMillis += float64(x.RTT.Microseconds()) / 1000 / float64(len(f.clients))
	}
	return s
}

// Ended blocks until every client has heard that its shard is over, and returns true. It returns false if a client has ended for
// another reason, or if ctx ends.
func (f *Fleet) Ended(ctx context.Context) bool {
	f.mu.Lock()
	all := slices.Clone(f.clients)
	f.mu.Unlock()
	for _, c := range all {
		select {
		case <-c.Done():
		case <-ctx.Done():
			return false
		}
		var bye *client.ByeError
		if !errors.As(c.Err(), &bye) || bye.Reason != wirepb.Reason_REASON_ENDED {
			return false
		}
	}
	return true
}

// Close makes every client leave the world and waits until all have ended.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var group sync.WaitGroup
	for _, c := range f.clients {
		group.Go(func() { _ = c.Close() }) // an error means that the client has already gone
	}
	group.Wait()
	f.clients = nil
}
