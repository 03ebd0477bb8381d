package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
)

type newBot = func(seed uint64) client.Bot

// WithBots sets the behaviour of the game's bots: f returns one bot for a seed. By default, bots play the game's sampled
// commands at random.
func WithBots(f func(seed uint64) client.Bot) Option { return func(p *program) { p.bot = f } }

func wanderer(game ecs.Game) newBot { return fleet.Wanderer(game) }

func (a *app) bots() *cobra.Command {
	var addrs, transport, shard, trace, prefix string
	var count int
	var lobby bool
	var seed uint64
	var span, wait time.Duration
	var way badNetwork
	var trust trustFlags
	c := &cobra.Command{
		Use:   "bots",
		Short: "Run clients that play on a running node",
		Long: `Connects clients that play the game until --for is over, their room ends, or they are interrupted. If the node goes away, they
resume their sessions when it is back, or at another of the addresses.

--trace writes every update that any of them sees to a file: one JSON object per line with tick, checksum, epoch and the
sequence of the record that holds the tick.

--net simulates a network between the bots and the nodes: a round trip, how far it strays, and the share of the packets that are lost.
It also takes names: rtt=120ms, jitter=25ms, loss=5%, burst=3 (packets lost in a row), reorder=1% (packets held back
for up to 100 ms, or the jitter), dup=1% (packets that arrive twice), rate=512kbit and queue=200ms (how long a packet waits at
most for its turn).`,
		Example: "  wind bots --addr 127.0.0.1:7777 --count 50 --for 1m --json\n  wind bots --count 10 --trace seen.jsonl\n  wind bots --net 120ms,25ms,5%,burst=3",
	}
	f := c.Flags()
	f.StringVar(&addrs, "addr", "127.0.0.1:7777", "addresses of the nodes that may serve the shard, comma-separated")
	f.StringVar(&transport, "transport", "udp", "udp (KCP and datagrams) or tcp")
	f.StringVar(&shard, "shard", "", "shard or room to join (default: the shard that the node serves)")
	f.StringVar(&prefix, "name", "bot", "prefix of the bots' names")
	f.StringVar(&trace, "trace", "", "file to write every update seen to")
	f.IntVar(&count, "count", 10, "how many bots")
	f.Uint64Var(&seed, "seed", 1, "seed of the bots' behaviour")
	if a.lobby != nil {
		f.BoolVar(&lobby, "lobby", false, "log in at the gateways of --addr, queue for matches, and play each in its room")
	}
	spanFlag(f, &span, "how long to play")
	trust.add(f)
	f.Var(&way, "net", "simulated network of the bots, over UDP: "+badNetworkUsage("the text above"))
	f.DurationVar(&wait, "wait", 10*time.Second, "how long to wait for a node to admit them")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if err := checkBots(addrs, shard, wait); err != nil {
			return err
		}
		config := fleet.Config{Addrs: strings.Split(addrs, ","), Shard: shard, Game: a.game.Name, Count: count, Prefix: prefix, Seed: seed, NewBot: a.bot, Logger: a.log}
		switch transport {
		case "udp":
		case "tcp":
			config.Transport = client.TCP
		default:
			return usagef("bots: --transport %q is neither udp nor tcp", transport)
		}
		if way.bad() && config.Transport != client.UDP {
			return usagef("bots: --net needs --transport udp")
		}
		config.DialUDP = way.dialer(seed)
		var err error
		if config.TLS, err = trust.config("bots", config.Transport == client.TCP); err != nil {
			return err
		}
		if count < 1 || count > mostBots {
			return usagef("bots: --count %d: want 1 to %d", count, mostBots)
		}
		if lobby && (shard != "" || trace != "") {
			return usagef("bots: --lobby plays in the rooms of matches: leave out --shard and --trace")
		}
		if lobby {
			return a.lobbyBots(ctx, config, span)
		}
		if trace != "" {
			t, err := fleet.CreateTrace(trace)
			if err != nil {
				return err
			}
			config.Trace = t
		}
		stats, err := runFleet(ctx, config, wait, span)
		if config.Trace != nil {
			if closeErr := config.Trace.Close(); err == nil {
				err = closeErr
			}
		}
		var other *fleet.OtherGameError
		if errors.As(err, &other) && slices.Contains(a.games.names(), other.Runs) {
			return fmt.Errorf("the shard at %s runs the game %q, and these bots play %q: give --game %s", other.Addr, other.Runs, other.Plays, other.Runs)
		}
		if none := (*client.DialError)(nil); errors.As(err, &none) {
			return fmt.Errorf("%w: check that a node runs there (wind serve, wind dev), name its address with --addr, or wait longer with --wait", err)
		}
		if err != nil {
			return err
		}
		return a.print(stats, fmt.Sprintf("%s sent %s and saw %s up to tick %d; %s, %d resumed, %d rejoined",
			plural(stats.Clients, "bot"), plural(stats.Inputs, "input"), plural(stats.Updates, "update"), stats.LastTick, plural(stats.Drops, "drop"), stats.Resumes, stats.Rejoins))
	})
	return c
}

// lobbyBots runs bots that play matches, for span (0: until ctx ends).
func (a *app) lobbyBots(ctx context.Context, c fleet.Config, span time.Duration) error {
	l := fleet.StartLobby(fleet.LobbyConfig{Gateways: c.Addrs, Transport: c.Transport, Count: c.Count, Prefix: c.Prefix, Seed: c.Seed, Play: a.lobby.Play, TLS: c.TLS, DialUDP: c.DialUDP, Logger: c.Logger})
	pause(ctx, span)
	s := l.Stats()
	l.Close()
	return a.print(s, lobbyLine(s))
}

// lobbyLine says what bots have seen of a lobby.
func lobbyLine(s fleet.MatchStats) string {
	return fmt.Sprintf("lobby: %s, %d playing, %d waiting; %s finished; the longest wait was %.1f s", plural(s.Players, "player"), s.Playing, s.Waiting, plural(s.Finished, "match"), s.LongestWait)
}

// mostBots is how many bots one process runs.
const mostBots = 10_000

// checkBots refuses flags with which no bot could play.
func checkBots(addrs, shard string, wait time.Duration) error {
	if addrs == "" {
		return usagef("bots: --addr is empty: name a node, such as 127.0.0.1:7777")
	}
	for addr := range strings.SplitSeq(addrs, ",") {
		if err := checkAddress("bots: --addr", addr); err != nil || addr == "" {
			return first(err, usagef("bots: --addr %q names an empty address", addrs))
		}
	}
	if shard != "" {
		if err := checkName("bots: --shard", shard); err != nil {
			return err
		}
	}
	if wait <= 0 {
		return usagef("bots: --wait %s: want more than 0", wait)
	}
	return nil
}

// runFleet runs a fleet for span (0: until ctx ends), or until its shard is over, and returns its statistics: zeros if ctx ends before
// all have joined.
func runFleet(ctx context.Context, c fleet.Config, wait, span time.Duration) (fleet.Stats, error) {
	joining, cancel := context.WithTimeout(ctx, wait)
	f, err := fleet.Start(joining, c)
	cancel()
	if err != nil && ctx.Err() != nil {
		return fleet.Stats{}, nil // interrupted before all had joined, which is no failure
	}
	if err != nil {
		return fleet.Stats{}, err
	}
	playing, over := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if f.Ended(playing) {
			over()
		}
	}()
	pause(playing, span)
	over()
	<-watched
	stats := f.Stats()
	f.Close()
	return stats, nil
}

// pause waits for d (0: without limit) or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		<-ctx.Done()
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
